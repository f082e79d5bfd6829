"""One GIL, seen as all findings need to see it: what each wait came after and fell on."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from giltrace.analysis.findings.overlaps import Overlaps
from giltrace.analysis.findings.standing import Standing, standing
from giltrace.model.calls import IDLE_KINDS, kinds_of
from giltrace.model.dense import by_thread, gather
from giltrace.model.tables import I8, Bool, Cause, Gil
from giltrace.model.trace import Trace

LEAST_NS: Final = 50_000
"""What is shorter may be the kernel waking a thread up, and is no stall at any switch interval."""
_NEVER: Final = np.iinfo(np.int64).max


def holds_before(trace: Trace) -> I8:
    """int64 [holds]: the hold before each one, of the same thread and GIL; -1 if there is none.

    None either where events between the two are missing, or the first has not ended.
    """
    holds = trace.holds
    order = by_thread(holds.thread, len(trace.threads))
    before = np.full(len(holds), -1, np.int64)
    same = np.ones(max(0, len(holds) - 1), np.bool_)
    for column in (holds.thread, holds.gil):
        lane = gather(column, order)
        same &= lane[1:] == lane[:-1]
    torn = holds.cause == Cause.NONE
    torn[trace.breaks] = True
    same &= ~torn[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


class Scene:
    """The holds and waits of one GIL. Both are numbered from 0 here.

    Attributes:
        trace: where they are from.
        gil: the GIL.
        first_hold: index of hold 0 in ``trace.holds``.
        first_wait: index of wait 0 in ``trace.waits``.
        holder: int32 [holds], thread indices.
        hold_start: int64 [holds].
        hold_end: int64 [holds].
        cause: int8 [holds], a `Cause`.
        place: int32 [holds].
        call: int32 [holds].
        waiter: int32 [waits], thread indices.
        wait_start: int64 [waits].
        wait_end: int64 [waits].
        granted: int64 [waits], the hold each led to; -1 for none.
        wait_ns: int64 [waits].
    """

    def __init__(self, trace: Trace, gil: Gil, before: I8) -> None:
        """Look at one GIL; ``before`` is from `holds_before`."""
        self.trace, self.gil = trace, gil
        here, waits = trace.holds_of(gil.index), trace.waits_of(gil.index)
        self.first_hold, self.first_wait = here.start, waits.start
        self.holder = trace.holds.thread[here]
        self.hold_start, self.hold_end = trace.holds.start[here], trace.holds.end[here]
        self.cause = trace.holds.cause[here]
        self.place, self.call = trace.holds.place[here], trace.holds.call[here]
        self.waiter = trace.waits.thread[waits]
        self.wait_start, self.wait_end = trace.waits.start[waits], trace.waits.end[waits]
        led_to = trace.waits.hold[waits]
        self.granted: I8 = np.where(led_to >= 0, led_to - here.start, -1)
        self.wait_ns: I8 = self.wait_end - self.wait_start
        self._before = before[here]

    @property
    def wall_ns(self) -> int:
        """For how long the GIL was watched; at least 1."""
        return max(1, self.gil.wall_ns)

    @cached_property
    def overlaps(self) -> Overlaps:
        """Which holds the waits fell on."""
        holds = self.hold_start, self.hold_end
        return Overlaps(holds, (self.wait_start, self.wait_end), self.granted)

    @cached_property
    def before(self) -> I8:
        """int64 [waits]: the hold after which the waiter let go; -1 if not known."""
        found = np.full(len(self.granted), -1, np.int64)
        known = np.flatnonzero(self.granted >= 0)
        at = self._before[self.granted[known]]
        found[known] = np.where(at >= 0, at - self.first_hold, -1)
        return found

    @cached_property
    def after_force(self) -> Bool:
        """Bool [waits]: the waiter had been forced to let go, and that is proven."""
        forced: Bool = (self.before >= 0) & (self.cause[self.before] == Cause.FORCED)
        return forced

    @cached_property
    def after_release(self) -> Bool:
        """Bool [waits]: the waiter had let go by itself.

        Where the cause is unknown it had if it was in a call that waits for something.
        """
        cause = self.cause[self.before]
        idle = np.isin(kinds_of(self.trace.calls), list(IDLE_KINDS))[self.call[self.before]]
        free: Bool = cause == Cause.VOLUNTARY
        free |= (cause == Cause.UNKNOWN) & idle
        return free & (self.before >= 0)

    @cached_property
    def off_ns(self) -> I8:
        """int64 [waits]: for how long the waiter had been off the GIL; -1 if not known."""
        since = self.wait_start - self.hold_end[self.before]
        return np.where(self.before >= 0, np.maximum(since, 0), -1)

    @cached_property
    def requested(self) -> Bool:
        """Bool [waits]: a switch interval ran out during it, so that the waiter had to ask."""
        return self.trace.waits.requests[self.first_wait :][: len(self.waiter)] > 0

    @cached_property
    def ended_by_force(self) -> Bool:
        """Bool [waits]: the hold before the one it led to was forced to end."""
        last = np.maximum(self.granted - 1, 0)
        forced: Bool = (self.granted > 0) & (self.cause[last] == Cause.FORCED)
        return forced

    def interval(self, ts: I8) -> I8:
        """int64: the switch interval at some times.

        The recorder notices a change at its next visit. What it sees first has mostly been so from
        the start, or nearly: programs that set the interval do it before anything else.
        """
        changes = self.gil.switch_intervals
        if not changes:
            return np.broadcast_to(np.int64(self.gil.switch_interval_ns), ts.shape)
        values = np.array([changes[0][1], *(ns for _, ns in changes)], np.int64)
        if (values == values[0]).all():
            return np.broadcast_to(values[0], ts.shape)
        return values[np.searchsorted([since for since, _ in changes], ts, side="right")]

    def stall_ns(self, ts: I8) -> I8:
        """int64: what costs about a switch interval at these times: at least half of one."""
        return np.maximum(self.interval(ts) // 2, LEAST_NS)

    @cached_property
    def long(self) -> Bool:
        """Bool [holds]: it lasted for about a switch interval, or longer."""
        return self.hold_end - self.hold_start >= self.stall_ns(self.hold_end)

    @cached_property
    def asked(self) -> I8:
        """int64 [holds]: when it was first asked to end; the greatest number there is if never."""
        asked = np.full(len(self.holder), _NEVER, np.int64)
        requests = self.trace.drop_requests
        first, last = np.searchsorted(requests.gil, [self.gil.index, self.gil.index + 1])
        hold, ts = requests.hold[first:last][::-1], requests.ts[first:last][::-1]
        # In order of time, backwards: the first request of a hold is written last.
        asked[hold[hold >= 0] - self.first_hold] = ts[hold >= 0]
        return asked

    @cached_property
    def is_dear(self) -> Bool:
        """Bool [waits]: it lasted for about a switch interval, or longer."""
        return self.wait_ns >= self.stall_ns(self.wait_start)

    @cached_property
    def dear(self) -> I8:
        """int64: the waits that did."""
        return np.flatnonzero(self.is_dear)

    @cached_property
    def standing(self) -> Standing:
        """How the threads stand to each other."""
        return standing(self)

    def on_long(self, rows: I8) -> I8:
        """int64 [rows]: for how long some waits fell on long holds."""
        return self.overlaps.on(self.hold_start, self._long_end, rows)

    @cached_property
    def behind_long(self) -> I8:
        """int64: those of `dear` that fell on long holds for half of their time or more."""
        return self.dear[2 * self.on_long(self.dear) >= self.wait_ns[self.dear]]

    @property
    def _long_end(self) -> I8:
        return np.where(self.long, self.hold_end, self.hold_start)

    @property
    def long_parts(self) -> tuple[I8, I8]:
        """Start and end [holds] of the long holds; the others have no length."""
        return self.hold_start, self._long_end

    @property
    def interval_parts(self) -> tuple[I8, I8]:
        """Start and end [holds] of what a switch interval had to run out for."""
        asked = np.minimum(self.asked, self.hold_end)
        return self.hold_start, np.where(self.asked == _NEVER, self.hold_start, asked)

    @property
    def overdue_parts(self) -> tuple[I8, I8]:
        """Start and end [holds] of what followed a drop request."""
        return np.minimum(self.asked, self.hold_end), self.hold_end

    @cached_property
    def acquires(self) -> I8:
        """int64 [threads]: holds of each thread of the trace."""
        return np.bincount(self.holder, minlength=len(self.trace.threads))

    @cached_property
    def not_running_ns(self) -> I8:
        """int64 [holds]: for how long the holder did not run; -1 where nothing tells."""
        return self.trace.running.not_running_ns[self.first_hold :][: len(self.holder)]
