"""How things are called in exported files. All of it is safe to show: see `model.text`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from giltrace.model.calls import Call
from giltrace.model.tables import Cause, Gil, Place, Process, Thread
from giltrace.model.text import printable

if TYPE_CHECKING:
    from giltrace.model import Trace

HOLDS: Final = "holds GIL"
WAITING: Final = "waiting for GIL"
OFF: Final = "off GIL"
SWITCHING: Final = "switching"
DROP_REQUEST: Final = "drop request"
HOLDER_TRACK: Final = "GIL holder"
UTILISATION_TRACK: Final = "GIL utilisation"
WAITERS_TRACK: Final = "GIL waiters"
DROP_REQUEST_TRACK: Final = "drop requests"
HANDOFF: Final = "hand-off"
NOTES_TRACK: Final = "giltrace notes"

FUNCTIONS_TRACK: Final = "functions"
THREAD_CLOCK_TRACK: Final = "thread_time"
FINDINGS_TRACK: Final = "findings"
LOST_TRACK: Final = "lost events"
LOST: Final = "events lost from here"
MEMORY_TRACK: Final = "memory (RSS)"
THREADS_TRACK: Final = "threads"
CPU_TRACK: Final = "CPU"
VOLUNTARY_TRACK: Final = "context switches, voluntary"
INVOLUNTARY_TRACK: Final = "context switches, involuntary"

OFF_KINDS: Final = ("unknown", "blocked", "sleep", "lock", "native", "switching")
"""By value of `OffKind`."""

CAUSES: Final = tuple(cause.name.lower() for cause in Cause)
"""By value of `Cause`."""

_LONG: Final = 200
_FRAMES: Final = 32


def thread_label(thread: Thread) -> str:
    """The thread's last name."""
    return printable(thread.name)


def place_label(place: Place) -> str:
    """``server.py:41 in handle``."""
    return printable(str(place), _LONG)


def function_label(place: Place) -> str:
    """``Class.method``."""
    return printable(place.qualname or str(place), _LONG)


def functions_label(thread: Thread) -> str:
    """What the track of a thread's functions is called; viewers put it anywhere near its thread."""
    return f"{thread_label(thread)}: {FUNCTIONS_TRACK}"


def call_label(call: Call) -> str:
    """``socket.recv``; ``""`` for the unknown call."""
    return printable(call.label)


def stack_label(trace: Trace, stack: Sequence[int]) -> str:
    """The callers, the innermost first: ``server.py:41 in handle < app.py:7 in main``."""
    shown = " < ".join(printable(str(trace.places[place])) for place in stack[:_FRAMES])
    return f"{shown} < …" if len(stack) > _FRAMES else shown


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
