"""How things are called in exported files. All of it is safe to show: see `model.text`."""

from __future__ import annotations

from typing import Final

from giltrace.model.tables import Cause, Gil, Place, Process, Thread
from giltrace.model.text import printable

HOLDS: Final = "holds GIL"
WAITING: Final = "waiting for GIL"
OFF: Final = "off GIL"
DROP_REQUEST: Final = "drop request"
HOLDER_TRACK: Final = "GIL holder"
UTILISATION_TRACK: Final = "GIL utilisation"
WAITERS_TRACK: Final = "GIL waiters"
DROP_REQUEST_TRACK: Final = "drop requests"
HANDOFF: Final = "hand-off"
NOTES_TRACK: Final = "giltrace notes"

CAUSES: Final = tuple(cause.name.lower() for cause in Cause)
"""By value of `Cause`."""

_LONG: Final = 200


def thread_label(thread: Thread) -> str:
    """The thread's last name."""
    return printable(thread.name)


def place_label(place: Place) -> str:
    """``server.py:41 in handle``."""
    return printable(str(place), _LONG)


def gil_label(gil: Gil, process: Process) -> str:
    """``GIL (pid 123)``, with the interpreter unless it is the main one; says if inferred."""
    parts = [f"pid {kernel_id(process.pid)}"]
    if gil.number and gil.interpreter >= 0:
        parts.append(f"interpreter {gil.interpreter}")
    elif gil.number:
        parts.append(f"number {gil.number}")
    if process.inferred:
        parts.append("inferred")
    return f"GIL ({', '.join(parts)})"


def thread_id_label(thread: Thread) -> str:
    """The thread's name and kernel id, which together are most likely unique."""
    return f"{thread_label(thread)} {kernel_id(thread.tid)}"


def kernel_id(number: int) -> int:
    """A process or thread id, or 0 if it can be none."""
    return number if 0 < number < 1 << 31 else 0


def process_label(process: Process) -> str:
    """The command line as far as known, else the name of the interpreter; says if inferred."""
    command = " ".join(process.argv) or process.executable.rsplit("/", 1)[-1]
    return printable(command or "python", _LONG) + (" (inferred)" if process.inferred else "")


def note_label(note: str) -> str:
    """A sentence for the reader of the trace."""
    return printable(note, _LONG)
