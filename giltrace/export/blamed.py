"""Who is to blame most for a wait: the one line that fits on a slice.

The exact split of every wait is `giltrace.analysis`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from giltrace.model.dense import rows_of
from giltrace.model.tables import I8

if TYPE_CHECKING:
    from giltrace.model import Trace

_PARTS: Final = 1 << 20


def blamed_holds(trace: Trace, waits: I8) -> I8:
    """int64 [n]: the hold that took the largest part of each wait, or -1 if there was none.

    Of equal parts the earlier counts.

    Args:
        trace: where the waits are.
        waits: int64 [n], indices into ``trace.waits``.
    """
    first, end = _overlapping(trace, waits)
    count = np.maximum(end - first, 0)
    found = np.full(len(waits), -1, np.int64)
    # A hundred waiters can each wait through the same ten thousand holds: mind the memory.
    cuts = np.flatnonzero(np.diff(np.cumsum(count) // _PARTS)) + 1
    for block in np.split(np.arange(len(waits)), cuts):
        part = block[count[block] > 0]
        if len(part):
            found[part] = _longest(trace, waits[part], first[part], count[part])
    return found


def _overlapping(trace: Trace, waits: I8) -> tuple[I8, I8]:
    """The ranges of holds that were going on during each wait."""
    holds = trace.holds
    start, stop = trace.waits.start[waits], trace.waits.end[waits]
    gil = trace.waits.gil[waits]
    first, end = np.empty(len(waits), np.int64), np.empty(len(waits), np.int64)
    for number in np.unique(gil).tolist():
        here = np.flatnonzero(gil == number)
        low, high = rows_of(holds.gil, number)
        first[here] = low + np.searchsorted(holds.end[low:high], start[here], "right")
        end[here] = low + np.searchsorted(holds.start[low:high], stop[here], "left")
    return first, end


def _longest(trace: Trace, waits: I8, first: I8, count: I8) -> I8:
    offset = np.cumsum(count) - count
    hold = np.repeat(first - offset, count) + np.arange(int(count.sum()))
    wait = np.repeat(waits, count)
    ns = np.minimum(trace.holds.end[hold], trace.waits.end[wait])
    ns -= np.maximum(trace.holds.start[hold], trace.waits.start[wait])
    ns[trace.holds.thread[hold] == trace.waits.thread[wait]] = -1  # one's own is no obstacle
    best = np.maximum.reduceat(ns, offset)
    longest = np.flatnonzero(ns == np.repeat(best, count))
    where = np.searchsorted(longest, offset)
    return np.where(best > 0, hold[longest[where]], -1)
