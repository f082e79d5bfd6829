"""Finding out what a ``--python`` is."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from giltrace.errors import GiltraceError
from giltrace.model.text import printable

OLDEST: Final = (3, 9)
"""The oldest Python that the servers run on."""

_PATIENCE_S: Final = 20.0
_ANSWER_BYTES: Final = 10_000

# Read by Python 2, too: what is too old should be told so.
_QUESTION: Final = """
import json, platform, sys
try:
    import zmq
    zmq = zmq.zmq_version() and zmq.__version__
except Exception:
    zmq = ""
pypy = getattr(sys, "pypy_version_info", None)
print(json.dumps({
    "giltrace": "python", "executable": sys.executable, "zmq": zmq,
    "version": platform.python_version(), "info": list(sys.version_info[:2]),
    "implementation": platform.python_implementation(),
    "pypy": pypy and "%d.%d.%d" % tuple(pypy[:3]),
    "threaded": "t" in getattr(sys, "abiflags", ""),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python to run legs with.

    Attributes:
        label: What it is called in rows: ``CPython 3.13.0t``, ``PyPy 7.3.11 (3.9.16)``.
        executable: The absolute path it was found at.
        zmq: Version of the pyzmq it can import; empty without one.
    """

    label: str
    executable: str
    zmq: str = ""


def current() -> Interpreter:
    """Return the one that runs this."""
    facts = {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "pypy": None,
        "threaded": "t" in getattr(sys, "abiflags", ""),
    }
    return Interpreter(_label(facts), sys.executable)


def probe(given: str, env: Mapping[str, str]) -> Interpreter:
    """Return what a program is that should be a Python.

    Args:
        given: A path, or a name to be found on PATH.
        env: The environment to start it in.

    Raises:
        GiltraceError: There is no such program, it is no Python, or too old a one.
    """
    shown = printable(given)
    path = shutil.which(os.path.expanduser(given), path=env.get("PATH"))
    if path is None:
        if os.path.exists(given):
            raise GiltraceError(f"{shown} is not a program", "Name a python executable.")
        raise GiltraceError(f"there is no program {shown}", "Check the path, or your PATH.")
    facts, said = _ask(os.path.abspath(path), env)
    if facts is None:
        why = f"it said: {said}" if said else "it did not answer as one"
        raise GiltraceError(f"{shown} is no Python: {why}", "Name a python executable.")
    if tuple(facts["info"]) < OLDEST:
        raise GiltraceError(
            f"{shown} is Python {facts['version']}, and the servers need "
            f"{OLDEST[0]}.{OLDEST[1]} or newer",
            "Name a newer one.",
        )
    if facts["executable"] == sys.executable and os.path.samefile(path, sys.executable):
        return current()
    # Not what it calls itself: that may lack what a wrapper script has set up.
    return Interpreter(_label(facts), os.path.abspath(path), str(facts["zmq"] or ""))


def _ask(path: str, env: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Have it say what it is; None, and what it said, unless it answers like a Python."""
    try:
        process = subprocess.Popen(
            [path, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=os.sep,
            start_new_session=True,
        )
    except OSError as error:
        return None, (error.strerror or "").lower()
    killer = threading.Timer(_PATIENCE_S, process.kill)
    killer.daemon = True
    killer.start()
    with process:
        assert process.stdout is not None
        try:
            answer = process.stdout.read(_ANSWER_BYTES)
        finally:
            killer.cancel()
            process.kill()  # it has answered; some programs never stop talking
    lines = [line for line in answer.decode("utf-8", "backslashreplace").splitlines() if line]
    for line in reversed(lines):
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if isinstance(facts, dict) and facts.get("giltrace") == "python":
            return facts, ""
    return None, printable(lines[0]) if lines else ""


def _label(facts: Mapping[str, Any]) -> str:
    version = str(facts["version"]) + ("t" if facts["threaded"] else "")
    if facts["pypy"]:
        return f"PyPy {facts['pypy']} ({version})"
    return f"{facts['implementation']} {version}"
