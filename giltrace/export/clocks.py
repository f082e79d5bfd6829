"""What the CPU clocks of threads would have shown at the beginning and end of each slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from giltrace.model.dense import by_thread, is_constant
from giltrace.model.offgil import READING_INTERVAL_NS
from giltrace.model.tables import I8, Bool

if TYPE_CHECKING:
    from giltrace.model import Trace


@dataclass(frozen=True, slots=True)
class Clocks:
    """CPU clocks that begin at 0 with the first hold of each thread.

    What is not known (see `giltrace.model.running`) does not move them.

    Attributes:
        start: int64 [holds], the holder's clock when each hold begins.
        held: int64 [holds], CPU time during the hold; 0 if it is not known.
        off: int64 [holds], CPU time in the stretch off the GIL after it; 0 if it is not known.
        shows_held: bool [holds], whether the hold is worth the two readings: it is known, and long
            enough to have had readings of its own.
        shows_off: bool [holds], whether the stretch after it is: its CPU time is.
    """

    start: I8
    held: I8
    off: I8
    shows_held: Bool
    shows_off: Bool

    @property
    def last(self) -> int:
        """The highest that any of them gets."""
        return int((self.start + self.held + self.off).max())


def clocks(trace: Trace) -> Clocks | None:
    """The clocks of all threads; None if none was read."""
    idle, off = trace.running.not_running_ns, trace.running.off_cpu_ns
    if is_constant(off) or not len(off):
        return None
    ns = trace.holds.ns
    held = np.where(idle >= 0, np.maximum(ns - idle, 0), 0)
    shows_held = (idle >= 0) & (ns >= READING_INTERVAL_NS)
    off = np.maximum(off, 0)
    order = by_thread(trace.holds.thread, len(trace.threads))
    used = (held + off)[order]
    clock = np.cumsum(used) - used
    thread = trace.holds.thread[order]
    first = np.flatnonzero(np.diff(thread, prepend=-1))
    clock -= np.repeat(clock[first], np.diff(first, append=len(order)))
    start = np.empty(len(order), np.int64)
    start[order] = clock
    return Clocks(start, held, off, shows_held, off >= READING_INTERVAL_NS)
