"""What each thread was doing before and after each point: where slices end and begin."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

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


_AFTER = np.zeros(len(Kind), np.uint8)
_AFTER[[Kind.WAIT, Kind.ACQUIRE, Kind.RELEASE]] = [State.WAITS, State.HOLDS, State.OFF]

_HAS_LANE = np.zeros(len(Kind), np.bool_)
_HAS_LANE[[Kind.WAIT, Kind.ACQUIRE, Kind.RELEASE, Kind.GIVE_UP]] = True


class States:
    """Follows the states of all lanes from batch to batch.

    ``off GIL`` is as in the model's table of that name, which would take far more memory than all
    the rest: from a release to the next request, unless recording stopped at that release, events
    are missing behind it, or nothing comes behind it.
    """

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._lanes = lanes
        self._now = np.full(len(lanes.all), State.NONE, np.uint8)
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

    def follow(self, points: Points) -> tuple[I8, U1, U1]:
        """Go on to the end of a batch.

        Returns:
            int64 [n], uint8 [n], uint8 [n]: the lane of each point, and the `State` of that lane
            before and after it; nonsense for points that belong to no thread.
        """
        lane = self._lanes_of(points)
        after = self._after(points, lane)
        before = np.zeros(len(points), np.uint8)
        mine = np.flatnonzero(_HAS_LANE[points.kind])
        if not len(mine):
            return lane, before, after
        by_lane = mine[np.argsort(lane[mine], kind="stable")]
        sorted_lane = lane[by_lane]
        is_first = np.ones(len(by_lane), np.bool_)
        is_first[1:] = sorted_lane[1:] != sorted_lane[:-1]
        before[by_lane[1:]] = after[by_lane[:-1]]
        before[by_lane[is_first]] = self._now[sorted_lane[is_first]]
        self._now[sorted_lane] = after[by_lane]
        return lane, before, after

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
        ends = ~self._goes_on(points.ref[releases], lane[releases])
        after[releases[ends]] = State.NONE
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
