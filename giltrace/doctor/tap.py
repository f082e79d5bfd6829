"""Does the GIL tap work on this interpreter?"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from typing import Any, Final

from giltrace.doctor.check import Check, Status

_TIMEOUT_S: Final = 30

# Runs in a process of its own: on an interpreter that nobody has tried, patching it may crash it.
_CHILD: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    from giltrace import _core
except ImportError as error:
    answer = {"import": str(error)}
else:
    try:
        answer = {"probe": _core.probe()}
    except _core.TapError as error:
        answer = {"refused": str(error)}
print(json.dumps(answer, default=str))
"""


def interpreter() -> Check:
    """Name the interpreter, and say so if it has no GIL to record."""
    name = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    if enabled:
        return Check("interpreter", Status.OK, name)
    return Check(
        "interpreter",
        Status.NOTE,
        f"{name} runs without a GIL: there are no holds and no waits to record",
        "run it with PYTHON_GIL=1 to see what the GIL would cost",
    )


def tap() -> Check:
    """Find the GIL of a fresh interpreter of this kind, and put the hooks in and out again."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _missing(f"the trial did not finish: {error}", "please report it")
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return _missing(f"the trial died of {name}", "please report it with the Python version")
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = child.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return _missing("the trial failed: " + "".join(last), "please report it")
    return _judge(answer)


def _judge(answer: dict[str, Any]) -> Check:
    if "import" in answer:
        return _missing(
            f"the C extension giltrace._core does not load: {answer['import']}",
            "install giltrace with this interpreter: python -m pip install --force-reinstall "
            "giltrace",
        )
    if "refused" in answer:
        return _missing(
            f"the tap refuses this interpreter: {answer['refused']}",
            "use a dynamically linked CPython 3.11 or later on Linux with glibc",
        )
    image = answer["probe"]["image"]
    return Check("tap", Status.OK, f"sees the GIL of this interpreter, in {image}", required=True)


def _missing(detail: str, remedy: str) -> Check:
    return Check("tap", Status.MISSING, detail, remedy, required=True)
