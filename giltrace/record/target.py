"""The target of a recording: what the user typed, turned into a command to start."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from giltrace.errors import GiltraceError


@dataclass(frozen=True)
class Target:
    """A command to start.

    Attributes:
        argv: the command; ``argv[0]`` is an absolute path.
        label: a short name for it, safe in a file name.
    """

    argv: tuple[str, ...]
    label: str


def resolve(words: Sequence[str], env: Mapping[str, str] | None = None) -> Target:
    """Find out what to start.

    Args:
        words: ``script.py args``, ``-m module args``, ``-c code args``, or any command on PATH.
        env: whose PATH to search; this process's by default.

    Raises:
        GiltraceError: there is no such thing, or it cannot be run.
    """
    if not words:
        raise GiltraceError(
            "there is nothing to start",
            "Name a script, -m MODULE, -c CODE or a command.",
            exit_code=2,
        )
    first = words[0]
    if first in ("-m", "-c"):
        if len(words) < 2:
            raise GiltraceError(
                f"{first} needs {'a module' if first == '-m' else 'code'}", exit_code=2
            )
        return Target((sys.executable, *words), label(words[1]) if first == "-m" else "code")
    if _is_script(first):
        _check_file(Path(first))
        return Target((sys.executable, *words), label(Path(first).stem))
    path = shutil.which(first, path=(env or os.environ).get("PATH"))
    if path is None:
        raise _not_found(first)
    return Target((os.path.abspath(path), *words[1:]), label(Path(first).name))


def _is_script(word: str) -> bool:
    # A folder or zip file with a __main__.py is a script to Python, too.
    return word.endswith((".py", ".pyw", ".pyc", ".pyz")) or (
        os.path.isdir(word) and os.path.exists(os.path.join(word, "__main__.py"))
    )


def _check_file(path: Path) -> None:
    try:
        path.stat()
        if path.is_file():
            path.open("rb").close()
    except FileNotFoundError:
        raise GiltraceError(f"there is no script {path}") from None
    except OSError as error:
        raise GiltraceError(f"cannot read {path}: {error.strerror}") from None


def _not_found(word: str) -> GiltraceError:
    if os.path.exists(word):
        if os.path.isdir(word):
            return GiltraceError(f"{word} is a folder without a __main__.py")
        return GiltraceError(
            f"{word} is not executable",
            f"If it is a Python script, put python before it: python {word}",
        )
    return GiltraceError(
        f"there is no command {word}", "Give a path, or check the spelling and your PATH."
    )


def label_of(argv: Sequence[str]) -> str:
    """A short name for a command line: that of its script or module, or of its program."""
    words = list(argv[1:])
    for at, word in enumerate(words):
        if word in ("-m", "-c") and at + 1 < len(words):
            return label(words[at + 1]) if word == "-m" else "code"
        if not word.startswith("-"):
            return label(Path(word).stem)
    return label(Path(argv[0]).name) if argv else "capture"


def label(text: str) -> str:
    """A short name made of ``text`` that is safe in a file name."""
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in text).strip(".-")
    return kept[:40] or "capture"
