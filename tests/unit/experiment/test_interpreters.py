"""What a ``--python`` turns out to be."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from giltrace.errors import GiltraceError
from giltrace.experiment import interpreters


def program(path: Path, text: str) -> str:
    """Write an executable script; return its path."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_ourselves() -> None:
    """The interpreter that runs this is recognised, by path and by name."""
    current = interpreters.current()
    assert sys.executable == current.executable
    assert f"{platform.python_implementation()} {platform.python_version()}" in current.label
    assert current == interpreters.probe(sys.executable, os.environ)
    folder, name = os.path.split(sys.executable)
    assert current == interpreters.probe(name, {**os.environ, "PATH": folder})


def test_a_wrapper_is_what_is_run(tmp_path: Path) -> None:
    """A script that sets something up and starts a Python stays in place."""
    code = f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S "$@"\n'
    wrapper = program(tmp_path / "python", code)
    found = interpreters.probe(wrapper, {"PATH": os.environ["PATH"]})
    assert (interpreters.current().label, wrapper, "") == (
        found.label,
        found.executable,
        found.zmq,
    )


def test_no_such_program(tmp_path: Path) -> None:
    """A path or a name that leads nowhere."""
    for name in (str(tmp_path / "python"), "no-such-python"):
        with pytest.raises(GiltraceError) as caught:
            interpreters.probe(name, os.environ)
        assert f"there is no program {name}" == caught.value.message


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """A file that cannot be executed, or a folder."""
    path = tmp_path / "file"
    path.touch()
    for name in (path, tmp_path):
        with pytest.raises(GiltraceError) as caught:
            interpreters.probe(str(name), os.environ)
        assert f"{name} is not a program" == caught.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("#!/bin/sh\nexit 0\n", "it did not answer as one"),
        ("#!/bin/sh\necho hello >&2\n", "it said: hello"),
        ("#!/bin/sh\necho '{\"version\": 3}'\n", 'it said: {"version": 3}'),
        ("#!/bin/sh\necho '[1]'\n", "it said: [1]"),
        ("#!/bin/sh\nwhile echo yes; do :; done\n", "it said: yes"),
        ("#!/bin/sh\nprintf '\\377\\001'\n", "it said: \\xff\\x01"),
        ("not a script", "it said: exec format error"),
    ],
    ids=["silent", "chatty", "json", "array", "endless", "bytes", "no format"],
)
def test_no_python(tmp_path: Path, text: str, why: str) -> None:
    """Any other program, whatever it answers, and however long it talks."""
    path = program(tmp_path / "python", text)
    with pytest.raises(GiltraceError) as caught:
        interpreters.probe(path, os.environ)
    assert f"{path} is no Python: {why}" == caught.value.message


@pytest.mark.parametrize("version", ["3.8", "2.7"])
def test_too_old(version: str) -> None:
    """A Python that cannot read the servers is told so, even if it cannot read much."""
    found = shutil.which(f"python{version}")
    # pyenv puts a script there that may know no such version.
    done = found and subprocess.run([found, "--version"], capture_output=True, check=False)
    if not found or not done or done.returncode:
        pytest.skip(f"there is no Python {version}")
    with pytest.raises(GiltraceError) as caught:
        interpreters.probe(found, os.environ)
    assert f" is Python {version}." in caught.value.message
    assert caught.value.message.endswith(", and the servers need 3.9 or newer")


@pytest.mark.parametrize(
    ("implementation", "pypy", "threaded", "label"),
    [
        ("CPython", None, False, "CPython 3.13.0"),
        ("CPython", None, True, "CPython 3.13.0t"),
        ("PyPy", "7.3.11", False, "PyPy 7.3.11 (3.13.0)"),
    ],
)
def test_labels(implementation: str, pypy: str | None, threaded: bool, label: str) -> None:
    """A label tells implementations and builds apart."""
    facts = {
        "implementation": implementation,
        "version": "3.13.0",
        "pypy": pypy,
        "threaded": threaded,
    }
    assert label == interpreters._label(facts)
