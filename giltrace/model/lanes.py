"""From the events of one process to lanes: one thread's dealings with one GIL, in program order.

File order mixes threads; within a thread it is program order. A stable sort by lane therefore puts
each acquire right before its release and each wait right before its acquire, and pairing becomes a
comparison of neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from giltrace.capture.events import Kind
from giltrace.model.dense import gather, positions, ranks, segments
from giltrace.model.mending import CLOCK_SKEW_NS, MAX_NS, Mended
from giltrace.model.source import LaneIds, Source
from giltrace.model.tables import I4, I8, U1, Bool

_HIDES_A_TENURE = 2
"""Losing one event cannot hide a tenure: that takes an acquire and a release."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """ACQUIRE, RELEASE and WAIT events, lane by lane, and the drop requests between them.

    Lane ``l`` is thread ``threads[l // n_gils]`` on GIL ``gils[l % n_gils]`` of the source.

    Attributes:
        source: the events.
        at: int32 [n], file positions.
        kind: uint8 [n].
        lane: unsigned [n], ascending.
        follows: bool [n], whether the event after this one is the next of its lane for certain:
            same lane, and too few events lost between the two to hide a tenure.
        lost_first: bool [lanes], whether events were lost before the first one of a lane.
        request: int32 [m], file positions of DROP_REQUEST events, lane by lane.
        request_lane: unsigned [m].
        request_after: int64 [m], the event of its lane that each comes after; -1 for none.
        blind: int64 [k, 3], stretches in which events were lost: GIL (as in ``gils``), from, to.
    """

    source: Source
    at: I4
    kind: U1
    lane: LaneIds
    follows: Bool
    lost_first: Bool
    request: I4
    request_lane: LaneIds
    request_after: I8
    blind: I8

    def __len__(self) -> int:
        return len(self.at)

    @property
    def n_gils(self) -> int:
        """How many GILs there are to tell apart, at least 1."""
        return self.source.n_gils

    def ts(self, event: I4) -> I8:
        """int64: the times of these events."""
        return gather(self.source.ts, self.at, event)

    def after(self, event: I4) -> I4:
        """int32: the event after each of these, or itself at the very end; any lane."""
        after: I4 = np.minimum(event + np.int32(1), np.int32(max(0, len(self) - 1)))
        return after

    def has_next(self, event: I4) -> Bool:
        """Bool: whether another event of its lane comes after each of these."""
        after = self.after(event)
        more: Bool = (after != event) & (gather(self.lane, after) == gather(self.lane, event))
        return more

    def until(self, event: I4, end_ns: int) -> I8:
        """int64: the time of the next event of each one's lane; ``end_ns`` where there is none."""
        end = self.ts(self.after(event))
        end[~self.has_next(event)] = end_ns
        return end

    def gil_of(self, lane: LaneIds) -> I4:
        """int32: the GIL of each lane, as a place in ``source.gils``."""
        if self.n_gils == 1:
            return np.zeros(len(lane), np.int32)
        return (lane % np.uint32(self.n_gils)).astype(np.int32)

    def thread_of(self, lane: LaneIds) -> I4:
        """int32: the thread of each lane, as a place in ``source.threads``."""
        return (lane // np.uint32(self.n_gils)).astype(np.int32)


def read_lanes(src: Source, mended: Mended) -> Lanes:
    """The lanes of one process, with times put right where those of a thread run backwards."""
    at, lane = _sorted_by_lane(src)
    src, at, lane = _in_time(src, at, lane, mended)
    kind = gather(src.kind, at)
    requests = np.flatnonzero(kind == Kind.DROP_REQUEST)
    request, request_lane = at[requests], lane[requests]
    # So many events that are no requests come before each.
    after = requests - np.arange(1, len(requests) + 1)
    if len(requests):
        kept = positions(kind != Kind.DROP_REQUEST)
        at, lane, kind = gather(at, kept), gather(lane, kept), gather(kind, kept)
        del kept
        mine = after >= 0
        mine[mine] = lane[after[mine]] == request_lane[mine]
        after[~mine] = -1
    follows = np.zeros(len(at), np.bool_)
    np.equal(lane[1:], lane[:-1], out=follows[:-1])
    lost_first, blind = _losses(src, at, lane, follows, mended)
    return Lanes(src, at, kind, lane, follows, lost_first, request, request_lane, after, blind)


def _sorted_by_lane(src: Source) -> tuple[I4, LaneIds]:
    """File positions of the timed events, lane by lane in program order, and their lanes."""
    at, lane = src.by_thread()
    timed = src.timed()
    if not timed.all():
        kept = positions(gather(timed, at))
        at, lane = gather(at, kept), gather(lane, kept)
    if src.n_gils > 1:
        lane = lane * lane.dtype.type(src.n_gils) + ranks(src.gil(at), src.gils).astype(lane.dtype)
        order = np.argsort(lane, kind="stable")
        at, lane = gather(at, order), gather(lane, order)
    return at, lane


def _in_time(src: Source, at: I4, lane: LaneIds, mended: Mended) -> tuple[Source, I4, LaneIds]:
    """See to it that times do not fall within a lane, and that no event is there twice.

    Program order is certain: a time before its predecessor's is wrong, and is moved forward.
    """
    ts = gather(src.ts, at)
    suspects = np.flatnonzero(ts[1:] <= ts[:-1])
    suspects = suspects[lane[suspects] == lane[suspects + 1]]
    if len(suspects) == 0:
        return src, at, lane
    back = suspects[ts[suspects + 1] < ts[suspects]]
    for one in np.unique(lane[back]):
        first, last = np.searchsorted(lane, [one, int(one) + 1])
        moved = np.maximum.accumulate(ts[first:last])
        mended.backwards += int(np.count_nonzero(moved - ts[first:last] > CLOCK_SKEW_NS))
        ts[first:last] = moved
    same = suspects[ts[suspects] == ts[suspects + 1]]
    same = same[src.data[at[same]] == src.data[at[same + 1]]]
    mended.duplicates += len(same)
    if len(back):
        times = src.ts.copy()
        times[at] = ts
        src = replace(src, ts=times)
    return src, np.delete(at, same + 1), np.delete(lane, same + 1)


def _losses(src: Source, at: I4, lane: LaneIds, follows: Bool, mended: Mended) -> tuple[Bool, I8]:
    """Break lanes where events were lost (in ``follows``); ``lost_first`` and ``blind`` of Lanes.

    The time of a LOST event says nothing; those of its neighbours bound when it happened.
    """
    n_gils = src.n_gils
    n_lanes = len(src.threads) * n_gils
    lost_first = np.zeros(n_lanes, np.bool_)
    lost_at = np.flatnonzero(src.kind == Kind.LOST).astype(np.int32)
    blind = [np.zeros((0, 3), np.int64)]
    if len(lost_at) == 0:
        return lost_first, blind[0]
    count = src.payload(lost_at)
    mended.lost_events += int(count.sum())
    loser = ranks(src.thread[lost_at], src.threads)
    bounds = segments(lane, n_lanes)
    for thread in np.unique(loser):
        mine = loser == thread
        for gil in range(n_gils):
            one = int(thread) * n_gils + gil
            first, last = bounds[one], bounds[one + 1]
            if first == last:
                continue
            place = np.searchsorted(at[first:last], lost_at[mine]) + first
            hiding = place[count[mine] >= _HIDES_A_TENURE]
            follows[hiding[hiding > first] - 1] = False
            lost_first[one] = bool((hiding == first).any())
            stretch = np.empty((len(place), 3), np.int64)
            stretch[:, 0] = gil
            since, until = np.maximum(place - 1, first), np.minimum(place, last - 1)
            stretch[:, 1] = np.where(place > first, src.ts[at[since]], 0)
            stretch[:, 2] = np.where(place < last, src.ts[at[until]], MAX_NS)
            blind.append(stretch)
    return lost_first, np.concatenate(blind)
