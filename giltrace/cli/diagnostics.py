"""Everything the commands say on stderr, and every exit code.

No other module prints to stderr or exits. A problem is one line ``giltrace: what is wrong``,
followed by ``hint: what to do`` when there is something to do. Only a fault of giltrace itself
shows a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any, Final, TextIO

import click

from giltrace.cli import output
from giltrace.errors import GiltraceError

_LINE_LIMIT: Final = 1000


class ExitCode(IntEnum):
    """The exit codes of ``giltrace``.

    ``giltrace record`` passes on the exit code of the program it ran, as a shell does, so these
    keep clear of what programs commonly return.
    """

    OK = 0
    """Done."""
    ERROR = 1
    """It could not be done; stderr says why."""
    USAGE = 2
    """The command line makes no sense."""
    UNSUPPORTED = 3
    """``giltrace doctor``: recording cannot work with this interpreter on this machine."""
    INTERNAL = 70
    """A fault of giltrace itself; stderr has the traceback."""
    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT)."""
    BROKEN_PIPE = 141
    """Whoever read stdout stopped reading (128 + SIGPIPE); nothing is said."""


def say(text: str) -> None:
    """Write one line for the user to stderr."""
    _write(f"{text}\n")


def warn(message: str, hint: str = "") -> None:
    """Report something wrong that does not stop the command."""
    _problem("warning: " + message, hint, "33")


def error(message: str, hint: str = "") -> None:
    """Report what stops the command: one line, and one with the remedy if there is one."""
    _problem(message, hint, "1;31")


def missing_package(command: str, cause: ModuleNotFoundError) -> Exception:
    """The error to raise when the module of ``command`` cannot import what it needs."""
    package = (cause.name or "").partition(".")[0]
    if package in ("", "giltrace"):
        return cause
    return GiltraceError(
        f"'giltrace {command}' needs the Python package '{package}', which is not installed",
        f"Install it: python -m pip install {_EXTRAS.get(package, package)}",
    )


_EXTRAS: Final = {
    "textual": "'giltrace[tui]'",
    "viztracer": "'giltrace[ui]'",
    "zmq": "'giltrace[scenarios]'",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn Ctrl-C and a closed pipe into an exit code before click sees them.

    Click exits with its own code and words for both.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise _interrupted() from None
    except BrokenPipeError:
        raise click.exceptions.Exit(ExitCode.BROKEN_PIPE) from None


def run(command: Callable[[], Any]) -> int:
    """Call ``command``, report what it raises, flush stdout, and return the exit code.

    An int that ``command`` returns is the exit code.
    """
    code = _call(command)
    # Output may still sit in a buffer: only writing it shows that a disk is full or a pipe closed.
    flushed = _call(output.flush)
    if flushed != ExitCode.OK:
        output.discard()
    return code or flushed


def _call(command: Callable[[], Any]) -> int:
    try:
        result = command()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _interrupted().exit_code
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except click.exceptions.NoArgsIsHelpError as problem:
        say(problem.format_message())
        return ExitCode.USAGE
    except click.ClickException as problem:
        error(_sentence(problem.format_message()), _usage_hint(problem))
        return problem.exit_code
    except GiltraceError as problem:
        error(problem.message, problem.hint)
        return problem.exit_code
    except OSError as problem:
        error(*describe(problem))
        return ExitCode.ERROR
    except MemoryError:
        error("not enough memory", "Free some, or work on a shorter recording.")
        return ExitCode.ERROR
    except Exception as fault:
        _write(traceback.format_exc())
        error(
            f"internal error: {type(fault).__name__}: {fault}",
            "This is a fault of giltrace; please report it with the lines above.",
        )
        return ExitCode.INTERNAL
    return result if isinstance(result, int) else ExitCode.OK


def describe(problem: OSError) -> tuple[str, str]:
    """The message and the hint for an error of the operating system."""
    reason = problem.strerror or str(problem) or type(problem).__name__
    reason = reason[:1].lower() + reason[1:]
    if problem.filename is None:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"cannot write: {reason}" if full else reason, _HINTS.get(problem.errno or 0, "")
    name = os.fsdecode(problem.filename) if not isinstance(problem.filename, int) else "a file"
    return f"'{name}': {reason}", _HINTS.get(problem.errno or 0, "")


_HINTS: Final[dict[int, str]] = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EACCES: "Check the permissions of the file and of its directory.",
    errno.EPERM: "Check the permissions of the file and of its directory.",
    errno.EROFS: "Choose a directory in which you may write.",
    errno.EISDIR: "Name a file in that directory.",
    errno.ENOSPC: "Make room on that disk, or choose another one.",
    errno.EDQUOT: "Make room within your quota, or choose another disk.",
    errno.EMFILE: "Raise the limit of open files: ulimit -n 4096",
}


def _interrupted() -> click.exceptions.Exit:
    error("interrupted")
    return click.exceptions.Exit(ExitCode.INTERRUPTED)


def _usage_hint(problem: click.ClickException) -> str:
    context = getattr(problem, "ctx", None)
    if not isinstance(context, click.Context):
        return ""
    return f"See {context.command_path} --help"


def _sentence(text: str) -> str:
    """Click's capitalised sentence as what follows ``giltrace:``."""
    text = text.removesuffix(".")
    return text[:1].lower() + text[1:]


def _problem(message: str, hint: str, style: str) -> None:
    head, tail = ("", "")
    if output.coloured(sys.stderr):
        head, tail = (f"\x1b[{style}m", "\x1b[0m")
    lines = f"{head}giltrace:{tail} {_one_line(message)}\n"
    if hint:
        lines += f"hint: {_one_line(hint)}\n"
    _write(lines)


def _one_line(text: str) -> str:
    from giltrace.model.text import printable

    return printable(" ".join(text.split()), _LINE_LIMIT)


def _write(text: str) -> None:
    """Write to stderr, and lose the text rather than the exit code if nobody listens."""
    stream: TextIO | None = sys.stderr
    if stream is None:
        return
    with suppress(OSError, ValueError):
        stream.write(output.encodable(text, stream))
        stream.flush()
