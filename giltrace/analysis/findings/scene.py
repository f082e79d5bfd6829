"""One GIL, seen as all findings need to see it: what each wait came after and fell on."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from giltrace.analysis.findings.overlaps import Overlaps, Parts, granted_of
from giltrace.analysis.findings.standing import Standing, standing
from giltrace.model.calls import IDLE_KINDS, kinds_of
from giltrace.model.dense import by_thread, gather, pieces, rows_of
from giltrace.model.tables import I4, I8, Bool, Cause, Gil
from giltrace.model.trace import Trace

LEAST_NS: Final = 50_000
"""What is shorter may be the kernel waking a thread up, and is no stall at any switch interval."""


class Scene:
    """The holds and waits of one GIL. Both are numbered from 0 here.

    A large capture has millions of them. So what takes 8 bytes for each is made where it is used,
    or piece by piece, and only what takes less is kept.

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
        granted: int32 [waits], the hold each led to; -1 for none.
        wait_ns: int64 [waits].
    """

    def __init__(self, trace: Trace, gil: Gil) -> None:
        """Look at one GIL."""
        self.trace, self.gil = trace, gil
        here, waits = trace.holds_of(gil.index), trace.waits_of(gil.index)
        self.first_hold, self.first_wait = here.start, waits.start
        self.holder = trace.holds.thread[here]
        self.hold_start, self.hold_end = trace.holds.start[here], trace.holds.end[here]
        self.cause = trace.holds.cause[here]
        self.place, self.call = trace.holds.place[here], trace.holds.call[here]
        self.waiter = trace.waits.thread[waits]
        self.wait_start, self.wait_end = trace.waits.start[waits], trace.waits.end[waits]
        self.granted = granted_of(trace, waits, here.start)
        self.wait_ns: I8 = self.wait_end - self.wait_start

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
    def before(self) -> I4:
        """int32 [waits]: the hold after which the waiter let go; -1 if not known.

        It is not where events between that hold and the one the wait led to are missing, nor where
        it has not ended.
        """
        order = by_thread(self.holder, len(self.trace.threads))
        thread = gather(self.holder, order)
        same = thread[1:] == thread[:-1]
        torn = self.cause == Cause.NONE
        breaks = self.trace.breaks - self.first_hold
        torn[breaks[(breaks >= 0) & (breaks < len(torn))]] = True
        same &= ~gather(torn, order[:-1])
        of_hold = np.full(len(order), -1, np.int32)
        for some in pieces(len(same)):
            first, second = (order[some.start + i : some.stop + i][same[some]] for i in (0, 1))
            of_hold[second] = first
        found = gather(of_hold, np.maximum(self.granted, 0)) if len(order) else self.granted.copy()
        found[self.granted < 0] = -1
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

    def off_ns(self, rows: I8) -> I8:
        """int64 [rows]: for how long the waiters had been off the GIL; -1 where not known."""
        before = self.before[rows]
        since = self.wait_start[rows] - self.hold_end[before]
        return np.where(before >= 0, np.maximum(since, 0), -1)

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
        return self.lasted(self.hold_start, self.hold_end, self.hold_end)

    def lasted(self, start: I8, end: I8, ts: I8) -> Bool:
        """Bool [n]: from start to end it took about the switch interval of that time, or longer."""
        found = np.empty(len(ts), np.bool_)
        for some in pieces(len(ts)):
            found[some] = end[some] - start[some] >= self.stall_ns(ts[some])
        return found

    @cached_property
    def requests(self) -> tuple[I4, I8]:
        """int32, int64: the holds that were asked to end, ascending, and when each first was."""
        requests = self.trace.drop_requests
        first, last = rows_of(requests.gil, self.gil.index)
        hold = requests.hold[first:last]
        named = np.flatnonzero(hold >= 0)
        asked, of = np.unique(hold[named], return_index=True)
        return (asked - self.first_hold).astype(np.int32), requests.ts[first:last][named[of]]

    def asked(self) -> I8:
        """int64 [holds]: when each was first asked to end; its end if that was not before."""
        asked = self.hold_end.copy()
        hold, ts = self.requests
        asked[hold] = np.minimum(ts, asked[hold])
        return asked

    @cached_property
    def is_dear(self) -> Bool:
        """Bool [waits]: it lasted for about a switch interval, or longer."""
        return self.lasted(self.wait_start, self.wait_end, self.wait_start)

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
        return self.overlaps.on(self.long_parts, rows)

    @cached_property
    def behind_long(self) -> I8:
        """int64: those of `dear` that fell on long holds for half of their time or more."""
        return self.dear[2 * self.on_long(self.dear) >= self.wait_ns[self.dear]]

    @property
    def whole(self) -> Parts:
        """All of each hold."""
        return Parts(self.hold_start, self.hold_end)

    @property
    def long_parts(self) -> Parts:
        """The long holds."""
        return Parts(self.hold_start, self.hold_end, self.long)

    @property
    def interval_parts(self) -> Parts:
        """What a switch interval had to run out for."""
        asked = np.zeros(len(self.holder), np.bool_)
        asked[self.requests[0]] = True
        return Parts(self.hold_start, self.asked(), asked)

    @property
    def overdue_parts(self) -> Parts:
        """What followed a drop request."""
        return Parts(self.asked(), self.hold_end)

    @cached_property
    def acquires(self) -> I8:
        """int64 [threads]: holds of each thread of the trace."""
        return np.bincount(self.holder, minlength=len(self.trace.threads))

    @cached_property
    def not_running_ns(self) -> I8:
        """int64 [holds]: for how long the holder did not run; -1 where nothing tells."""
        return self.trace.running.not_running_ns[self.first_hold :][: len(self.holder)]
