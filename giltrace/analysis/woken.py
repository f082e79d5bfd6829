"""Who ended a wait for a lock: the thread that let go of it, as far as that can be known.

Nothing records who releases a lock. But whoever does holds the GIL, and the waiter comes back soon
after. If one other thread alone has held the GIL in that time, and the wait could not have ended by
itself, it was that thread. Everything else stays unknown.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from giltrace.model.calls import OffKind
from giltrace.model.tables import I4, I8, Bool
from giltrace.model.trace import Trace

_SOON_NS: Final = 1_000_000
"""A thread that is woken runs within that time: mostly within a tenth of it."""

UNKNOWN: Final = -1


def woken_by(trace: Trace) -> I4:
    """int32, for each row of ``trace.off_gil``: the thread that ended it, or `UNKNOWN`."""
    off = trace.off_gil
    found = np.full(len(off), UNKNOWN, np.int32)
    # Of an inferred process the times are not exact enough.
    exact = np.array([not trace.processes[gil.process].inferred for gil in trace.gils], np.bool_)
    candidates = np.flatnonzero((off.kind == OffKind.LOCK) & exact[off.gil])
    candidates = candidates[~_may_end_by_itself(trace, off.hold[candidates])]
    for gil in np.unique(off.gil[candidates]).tolist():
        mine = candidates[off.gil[candidates] == gil]
        found[mine] = _only_holder(trace, gil, off.thread[mine], off.end[mine])
    return found


def _only_holder(trace: Trace, gil: int, waiter: I4, end: I8) -> I4:
    """The one other thread that held the GIL shortly before each of these times, or UNKNOWN."""
    here = trace.holds_of(gil)
    start, until = trace.holds.start[here], trace.holds.end[here]
    thread = trace.holds.thread[here]
    # Holds in order do not overlap, so those that touch a span are consecutive.
    first = np.searchsorted(until, end - _SOON_NS, side="right")
    last = np.searchsorted(start, end, side="left")
    found = np.full(len(end), UNKNOWN, np.int32)
    for row, (a, b, me) in enumerate(
        zip(first.tolist(), last.tolist(), waiter.tolist(), strict=True)
    ):
        others = set(thread[a:b].tolist()) - {me}
        if len(others) == 1:
            found[row] = others.pop()
    return found


def _may_end_by_itself(trace: Trace, holds: I8) -> Bool:
    """Bool: the source at the end of these holds passes something, which may be a timeout."""
    places = trace.holds.place[holds]
    timed = {
        place: _passes_something(trace.expressions.of(trace.places[place]).text)
        for place in np.unique(places).tolist()
    }
    return np.array([timed[place] for place in places.tolist()], np.bool_)


def _passes_something(text: str) -> bool:
    """Whether a call has arguments, or there is no telling; ``with lock:`` has none."""
    if text.startswith(("with ", "async with ")):
        return False
    return not text.endswith("()")
