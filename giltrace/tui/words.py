"""What the timeline calls states and intervals."""

from __future__ import annotations

from typing import Final

import numpy as np

from giltrace.analysis.calls import call_name
from giltrace.analysis.timeline.state import State
from giltrace.model import Trace
from giltrace.model.dense import numbered, sums
from giltrace.model.text import printable
from giltrace.tui.source import Interval
from giltrace.wording.labels import Labels

NAMES: Final[dict[State, str]] = {
    State.NONE: "not on record",
    State.UNKNOWN: "off GIL",
    State.SLEEP: "sleep",
    State.LOCK: "lock",
    State.BLOCKED: "blocked",
    State.NATIVE: "native",
    State.SWITCHING: "switching",
    State.HOLDING: "holds GIL",
    State.HELD_IDLE: "held idle",
    State.WAITING: "waits",
}
"""The words of the glossary, short enough for a legend."""

_LOOKED_AT: Final = 256


def inside(trace: Trace, labels: Labels, interval: Interval) -> str:
    """A few words to stand inside an interval."""
    if interval.state is State.WAITING:
        thread = main_holder(trace, interval.ref)
        return NAMES[State.WAITING] + (f" for {labels.thread(thread)}" if thread >= 0 else "")
    if interval.state.is_off:
        return off_call(trace, interval) or NAMES[interval.state]
    return labels.place(int(trace.holds.place[interval.ref])) or NAMES[interval.state]


def main_holder(trace: Trace, wait: int) -> int:
    """The thread that held the GIL for most of a wait, or -1; of very many holds the last."""
    holds, waits = trace.holds, trace.waits
    start, end, last = int(waits.start[wait]), int(waits.end[wait]), int(waits.hold[wait])
    mine = trace.holds_of(int(waits.gil[wait]))
    if last < 0:
        last = mine.start + int(np.searchsorted(holds.start[mine], end))
    first = mine.start + int(np.searchsorted(holds.end[mine.start : last], start, side="right"))
    some = slice(max(first, last - _LOOKED_AT), last)
    if some.start >= some.stop:
        return -1
    ns = np.minimum(holds.end[some], end) - np.maximum(holds.start[some], start)
    threads, index = numbered(holds.thread[some])
    return int(threads[np.argmax(sums(index, ns, len(threads)))])


def off_call(trace: Trace, interval: Interval) -> str:
    """The call in which a thread is off the GIL, or ``""``."""
    if interval.state is State.SWITCHING:
        return ""
    return hold_call(trace, interval.ref)


def hold_call(trace: Trace, hold: int) -> str:
    """The call in which a hold was released, or ``""``."""
    name, _ = call_name(trace, int(trace.holds.call[hold]), int(trace.holds.place[hold]))
    return printable(name)
