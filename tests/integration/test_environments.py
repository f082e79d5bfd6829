"""Virtual environments for other interpreters, made without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from giltrace.experiment import environments, interpreters

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None or sys.prefix == sys.base_prefix,
    reason="needs an interpreter below that of a virtual environment",
)

METADATA = "Metadata-Version: 2.1\nName: pyzmq\nVersion: 99.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
MODULE = "__version__ = '99.0'\ndef zmq_version():\n    return '4.3.5'\n"


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another interpreter, without pyzmq; pip knows nothing of any network."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S "$@"\n')
    path.chmod(0o755)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return str(path)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A directory with a package that calls itself pyzmq."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "pyzmq-99.0.dist-info"
    with zipfile.ZipFile(folder / "pyzmq-99.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("zmq/__init__.py", MODULE)
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def test_made_once(
    python: str, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment has pyzmq, lies in the cache, and serves again without being made."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    said: list[str] = []
    first = environments.prepare(python, zmq=True, say=said.append)
    assert ("", "") == (first.problem, first.zmq_problem)
    assert first.executable.startswith(str(tmp_path / "cache" / "giltrace"))
    assert [f"preparing {interpreters.current().label}"] == said
    code = "import giltrace.scenarios, zmq; print(zmq.__version__)"
    done = subprocess.run(
        [first.executable, "-c", code], env=first.env, capture_output=True, text=True, check=True
    )
    assert "99.0\n" == done.stdout
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert first.executable == environments.prepare(python, zmq=True).executable


def test_one_that_is_broken_is_made_anew(
    python: str, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment whose interpreter has gone is of no use."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    first = environments.prepare(python, zmq=True)
    Path(first.executable).unlink()
    assert first == environments.prepare(python, zmq=True)
    assert Path(first.executable).exists()


def test_without_pyzmq(python: str, tmp_path: Path) -> None:
    """Where pyzmq cannot be had, the other servers run all the same."""
    found = environments.prepare(python, zmq=True)
    assert ("", python) == (found.problem, found.executable)
    assert found.zmq_problem.startswith("pyzmq could not be installed for it: ")
    left = {path.name.partition("-")[0] for path in (tmp_path / "cache" / "giltrace").iterdir()}
    assert {"sources"} == left


def test_not_needed(python: str) -> None:
    """Servers that need no pyzmq run on the interpreter as it is."""
    found = environments.prepare(python, zmq=False)
    assert (python, "", "") == (found.executable, found.problem, found.zmq_problem)


def test_ourselves() -> None:
    """This interpreter needs neither copy nor environment."""
    assert environments.own() == environments.prepare(sys.executable, zmq=True)
