"""What each thread was doing before and after each point: where slices end and begin."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from giltrace.export.lanes import Lanes
from giltrace.export.points import Kind, Points
from giltrace.export.rows import chunks
from giltrace.model.tables import I8, U1, Bool, Cause

if TYPE_CHECKING:
    from giltrace.model import Trace


class State(IntEnum):
    """What a thread does with regard to one GIL."""

    NONE = 0
    """Not on record: before its first point, after its last, or events were lost."""
    WAITS = 1
    HOLDS = 2
    OFF = 3
    IN_CALL = 4
    """Off the GIL, in a C call that has a name."""
    SWITCHES = 5
    """Off the GIL because it was made to let go."""


OFF_STATES: Final = (State.OFF, State.IN_CALL, State.SWITCHES)


_AFTER = np.zeros(len(Kind), np.uint8)
_AFTER[[Kind.WAIT, Kind.ACQUIRE, Kind.RELEASE]] = [State.WAITS, State.HOLDS, State.OFF]

_HAS_LANE = np.zeros(len(Kind), np.bool_)
_HAS_LANE[[Kind.WAIT, Kind.ACQUIRE, Kind.RELEASE, Kind.GIVE_UP]] = True


class States:
    """Follows the states of all lanes from batch to batch.

    Off the GIL is as in the model's table of that name, which would take far more memory than all
    the rest: from a release to the next request, unless recording stopped at that release, events
    are missing behind it, or nothing comes behind it.
    """

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._lanes = lanes
        self._now = np.full(len(lanes.all), State.NONE, np.uint8)
        self._released = np.full(len(lanes.all), -1, np.int64)
        self._last_hold = np.full(len(lanes.all), -1, np.int64)
        self._last_vain_ns = np.full(len(lanes.all), -1, np.int64)
        holds, waits = trace.holds, trace.waits
        for part in chunks(len(holds)):
            # Of equal lanes the last one stays.
            lane = lanes.of(holds.thread[part], holds.gil[part])
            self._last_hold[lane] = np.arange(part.start, part.stop)
        for part in chunks(len(waits)):
            vain = part.start + np.flatnonzero(waits.hold[part] < 0)
            self._last_vain_ns[lanes.of(waits.thread[vain], waits.gil[vain])] = waits.start[vain]

    def follow(self, points: Points) -> tuple[I8, U1, U1, I8]:
        """Go on to the end of a batch.

        Returns:
            int64 [n], uint8 [n], uint8 [n], int64 [n]: the lane of each point, the `State` of that
            lane before and after it, and the hold that it released last before it, or -1; nonsense
            for points that belong to no lane.
        """
        lane = self._lanes_of(points)
        after = self._after(points, lane)
        before = np.zeros(len(points), np.uint8)
        released = np.full(len(points), -1, np.int64)
        mine = np.flatnonzero(_HAS_LANE[points.kind])
        if not len(mine):
            return lane, before, after, released
        by_lane = mine[np.argsort(lane[mine], kind="stable")]
        sorted_lane = lane[by_lane]
        is_first = np.ones(len(by_lane), np.bool_)
        is_first[1:] = sorted_lane[1:] != sorted_lane[:-1]
        before[by_lane[1:]] = after[by_lane[:-1]]
        before[by_lane[is_first]] = self._now[sorted_lane[is_first]]
        self._now[sorted_lane] = after[by_lane]
        released[by_lane] = self._follow_releases(points, by_lane, sorted_lane, is_first)
        return lane, before, after, released

    def _follow_releases(self, points: Points, by_lane: I8, lane: I8, is_first: Bool) -> I8:
        """int64: the hold that each point's lane released last before it; points lane by lane."""
        hold = np.where(points.kind[by_lane] == Kind.RELEASE, points.ref[by_lane], -1)
        # The last release up to each point: holds of a lane are numbered in the order of time.
        offset = np.cumsum(is_first) * (len(self._trace.holds) + 1)
        start = np.where(is_first, self._released[lane], -1)
        latest = np.maximum.accumulate(np.maximum(hold, start) + offset) - offset
        before = np.empty(len(hold), np.int64)
        before[1:] = latest[:-1]
        before[is_first] = start[is_first]
        self._released[lane] = latest
        return before

    def _lanes_of(self, points: Points) -> I8:
        lane = np.zeros(len(points), np.int64)
        for table, kinds in (
            (self._trace.holds, (Kind.ACQUIRE, Kind.RELEASE)),
            (self._trace.waits, (Kind.WAIT, Kind.GIVE_UP)),
        ):
            here = np.flatnonzero((points.kind == kinds[0]) | (points.kind == kinds[1]))
            ref = points.ref[here]
            lane[here] = self._lanes.of(table.thread[ref], table.gil[ref])
        return lane

    def _after(self, points: Points, lane: I8) -> U1:
        after = _AFTER[points.kind]
        releases = np.flatnonzero(points.kind == Kind.RELEASE)
        hold = points.ref[releases]
        state = np.where(self._trace.holds.call[hold] > 0, State.IN_CALL, State.OFF)
        state[self._trace.holds.cause[hold] == Cause.FORCED] = State.SWITCHES
        state[~self._goes_on(hold, lane[releases])] = State.NONE
        after[releases] = state
        return after

    def _goes_on(self, hold: I8, lane: I8) -> Bool:
        """Whether the thread is known to be off the GIL after these holds."""
        trace = self._trace
        goes_on = hold < self._last_hold[lane]
        goes_on |= trace.holds.end[hold] <= self._last_vain_ns[lane]
        goes_on &= trace.holds.cause[hold] != Cause.NONE
        if len(trace.breaks):
            at = np.minimum(np.searchsorted(trace.breaks, hold), len(trace.breaks) - 1)
            goes_on &= trace.breaks[at] != hold
        return goes_on
