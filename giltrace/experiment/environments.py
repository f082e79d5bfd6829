"""Where the legs of each interpreter run: with its own packages, and the scenarios' sources.

The interpreter that runs giltrace serves as it is. So does another one that can import pyzmq, or
whose legs do without. For the rest a virtual environment with pyzmq is made once, in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from giltrace.errors import GiltraceError
from giltrace.experiment import interpreters, sources
from giltrace.experiment.interpreters import Interpreter
from giltrace.experiment.process import Ended, execute
from giltrace.model.text import printable
from giltrace.record.session import without_session
from giltrace.scenarios import children
from giltrace.scenarios.c_zmq import cache_directory

_VENV_S: Final = 120.0
_INSTALL_S: Final = 300.0
_PIP: Final = (
    *("install", "--quiet", "--disable-pip-version-check", "--no-input"),
    # A build from source takes minutes and a compiler; without a network, say so soon.
    *("--only-binary", ":all:", "--retries", "1", "--timeout", "15", "pyzmq"),
)


@dataclass(frozen=True)
class Environment:
    """An interpreter that legs can be run with, or the reason why not.

    Attributes:
        label: What the interpreter is called in rows.
        executable: The program to start.
        env: Its environment variables.
        problem: Why nothing can run; empty if it can.
        zmq_problem: Why the 0MQ servers cannot; the same.
    """

    label: str
    executable: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    zmq_problem: str = ""


def own() -> Environment:
    """Return the environment of the interpreter that runs this."""
    interpreter = interpreters.current()
    return Environment(interpreter.label, interpreter.executable, children.environment())


def prepare(
    given: str, *, zmq: bool, say: Callable[[str], object] = lambda _text: None
) -> Environment:
    """Return the environment of a ``--python``. If it cannot run legs, it says why.

    Args:
        given: A path, or a name to be found on PATH.
        zmq: Whether its legs need pyzmq.
        say: Called with what is being done, if that takes a while.

    Raises:
        GiltraceError: The cache cannot be written.
    """
    env = without_session({k: v for k, v in os.environ.items() if k not in _PYTHON_VARIABLES})
    try:
        interpreter = interpreters.probe(given, env)
    except GiltraceError as error:
        return Environment(printable(given), problem=error.message)
    if interpreter == interpreters.current():
        return own()
    cache = cache_directory()
    ready = Environment(
        interpreter.label,
        interpreter.executable,
        {**env, "PYTHONPATH": str(sources.copied(cache))},
    )
    if not zmq or interpreter.zmq:
        return ready
    say(f"preparing {interpreter.label}")
    try:
        python = _with_zmq(interpreter, env, cache)
    except GiltraceError as error:
        return Environment(ready.label, ready.executable, ready.env, zmq_problem=error.message)
    return Environment(ready.label, str(python), ready.env)


_PYTHON_VARIABLES: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "PYTHONSTARTUP")


def _with_zmq(interpreter: Interpreter, env: Mapping[str, str], cache: Path) -> Path:
    """Return the python of its virtual environment with pyzmq, made unless it is there.

    Raises:
        GiltraceError: It could not be made.
    """
    identity = f"{os.path.realpath(interpreter.executable)}\0{interpreter.label}"
    name = "".join(c if c.isalnum() or c in "._" else "-" for c in interpreter.label).strip("-")
    target = cache / f"{name.lower()}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]}"
    python = target / "bin" / "python"
    if not _imports_zmq(python, env):
        shutil.rmtree(target, ignore_errors=True)  # the interpreter below it has gone or changed
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                made = Path(scratch) / "made"
                _make(interpreter, made, env)
                _move(made, target)
        except OSError as error:
            raise sources.cannot_write(cache, error) from error
    return python


def _make(interpreter: Interpreter, folder: Path, env: Mapping[str, str]) -> None:
    command = [interpreter.executable, "-m", "venv", "--without-pip", str(folder)]
    _check(_run(command, env, _VENV_S), "its virtual environment could not be made")
    python = str(folder / "bin" / "python")
    # Our own pip, if there is one: theirs is often left out (Debian).
    command = [sys.executable, "-m", "pip", "--python", python, *_PIP]
    if _run([sys.executable, "-m", "pip", "--version"], os.environ, _VENV_S).status:
        command = [python, "-m", "pip", *_PIP]
        _check(_run([python, "-m", "ensurepip"], env, _VENV_S), "there is no pip to get pyzmq with")
    _check(_run(command, env, _INSTALL_S), "pyzmq could not be installed for it")
    if not _imports_zmq(folder / "bin" / "python", env):
        raise GiltraceError("pyzmq was installed for it, but cannot be imported")


def _move(made: Path, target: Path) -> None:
    # Nothing in a virtual environment that we use depends on where it is.
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():  # another process was faster
            raise


def _imports_zmq(python: Path, env: Mapping[str, str]) -> bool:
    code = "import json, zmq; print(json.dumps(zmq.zmq_version()))"
    ended = _run([str(python), "-c", code], env, _VENV_S)
    try:
        return ended.status == 0 and bool(json.loads(ended.stdout))
    except ValueError:
        return False


def _run(command: list[str], env: Mapping[str, str], limit_s: float) -> Ended:
    try:
        return execute(command, env, limit_s)
    except OSError as error:
        return Ended(127, b"", f"{error.strerror}\n")


def _check(ended: Ended, what: str) -> None:
    """Raise GiltraceError with the last line of what a program said, if it failed."""
    if ended.status == 0 and not ended.late:
        return
    said = [
        line.strip() for line in (ended.stdout.decode(errors="replace") + ended.stderr).split("\n")
    ]
    lines = [line for line in said if line]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    why = (
        "it took too long"
        if ended.late
        else printable(errors[-1] if errors else "no reason given", 300)
    )
    raise GiltraceError(f"{what}: {why.removeprefix('ERROR: ')}")
