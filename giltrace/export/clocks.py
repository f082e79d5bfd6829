"""What the CPU clocks of threads would have shown at the beginning and end of each slice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from giltrace.export.rows import chunks
from giltrace.model.dense import by_thread, gather, is_constant, segments
from giltrace.model.offgil import READING_INTERVAL_NS
from giltrace.model.tables import I8, Bool

if TYPE_CHECKING:
    from giltrace.model import Trace


class Clocks:
    """CPU clocks that begin at 0 with the first hold of each thread.

    What is not known (see `giltrace.model.running`) does not move them. Holds are given by their
    indices, as int64 [n]; of all that could be told of them only one column is kept.

    Attributes:
        last: the highest that any of them gets.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._start = np.empty(len(trace.holds), np.int64)
        self.last = 0
        order = by_thread(trace.holds.thread, len(trace.threads))
        bounds = segments(gather(trace.holds.thread, order), len(trace.threads))
        for first, end in pairwise(bounds.tolist()):
            clock = 0
            for some in chunks(end - first):
                hold = order[first + some.start : first + some.stop]
                after = clock + np.cumsum(self.held_ns(hold) + self.off_ns(hold))
                self._start[hold[:1]] = clock
                self._start[hold[1:]] = after[:-1]
                clock = int(after[-1])
            self.last = max(self.last, clock)

    def at_start(self, hold: I8) -> I8:
        """int64 [n]: the holder's clock when each hold begins."""
        start: I8 = self._start[hold]
        return start

    def at_end(self, hold: I8) -> I8:
        """int64 [n]: the same when it ends."""
        return self.at_start(hold) + self.held_ns(hold)

    def held_ns(self, hold: I8) -> I8:
        """int64 [n]: CPU time during the hold; 0 if it is not known."""
        idle = self._trace.running.not_running_ns[hold]
        return np.where(idle >= 0, np.maximum(self._length(hold) - idle, 0), 0)

    def off_ns(self, hold: I8) -> I8:
        """int64 [n]: CPU time in the stretch off the GIL after it; 0 if it is not known."""
        return np.maximum(self._trace.running.off_cpu_ns[hold], 0)

    def shows_held(self, hold: I8) -> Bool:
        """Bool [n]: whether the hold is worth the two readings.

        That is if they are known, and it is long enough to have had readings of its own.
        """
        known: Bool = self._trace.running.not_running_ns[hold] >= 0
        return known & (self._length(hold) >= READING_INTERVAL_NS)

    def shows_off(self, hold: I8) -> Bool:
        """Bool [n]: whether the stretch after it is: its CPU time is."""
        shows: Bool = self.off_ns(hold) >= READING_INTERVAL_NS
        return shows

    def _length(self, hold: I8) -> I8:
        length: I8 = self._trace.holds.end[hold] - self._trace.holds.start[hold]
        return length


def clocks(trace: Trace) -> Clocks | None:
    """The clocks of all threads; None if none was read."""
    off = trace.running.off_cpu_ns
    return None if is_constant(off) or not len(off) else Clocks(trace)
