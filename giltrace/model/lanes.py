"""From the events of one process to lanes: one thread's dealings with one GIL, in program order.

File order mixes threads; within a thread it is program order. A stable sort by lane therefore puts
each acquire right before its release and each wait right before its acquire, and pairing becomes a
comparison of neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from giltrace.capture.events import Kind
from giltrace.model.attached import Behind
from giltrace.model.dense import compacted, constant, gather, positions, ranks, segments
from giltrace.model.mending import CLOCK_SKEW_NS, MAX_NS, Mended
from giltrace.model.source import LaneIds, Source, kinds
from giltrace.model.tables import I4, I8, U1, U8, Bool

_HIDES_A_TENURE = 2
"""Losing one event cannot hide a tenure: that takes an acquire and a release."""


@dataclass(slots=True)
class Lanes:
    """ACQUIRE, RELEASE and WAIT events, lane by lane, and the drop requests between them.

    Lane ``l`` is thread ``threads[l // n_gils]`` on GIL ``gils[l % n_gils]`` of the source.

    Attributes:
        n_gils: how many GILs there are to tell apart, at least 1.
        ts: int64 [n].
        data: ``<u8`` [n].
        kind: uint8 [n].
        lane: unsigned [n], ascending.
        follows: bool [n], whether the event after this one is the next of its lane for certain:
            same lane, and too few events lost between the two to hide a tenure.
        stack: int32 [n], of RELEASE events: as in `Behind`.
        fd: int32 [n], likewise.
        lost_first: bool [lanes], whether events were lost before the first one of a lane.
        request_ts: int64 [m], of DROP_REQUEST events, lane by lane.
        request_data: ``<u8`` [m].
        request_lane: unsigned [m].
        request_after: int64 [m], the event of its lane that each comes after; -1 for none.
        blind: int64 [k, 3], stretches in which events were lost: GIL (as in ``gils``), from, to.
    """

    n_gils: int
    ts: I8
    data: U8
    kind: U1
    lane: LaneIds
    follows: Bool
    stack: I4
    fd: I4
    lost_first: Bool
    request_ts: I8
    request_data: U8
    request_lane: LaneIds
    request_after: I8
    blind: I8

    def __len__(self) -> int:
        return len(self.lane)

    def let_go_of_releases(self) -> None:
        """Forget what only releases need, ``kind`` and ``follows`` included."""
        self.data, self.kind = np.zeros(0, np.uint64), np.zeros(0, np.uint8)
        self.follows = np.zeros(0, np.bool_)
        self.stack = self.fd = np.zeros(0, np.int32)

    def let_go_of_times(self) -> None:
        """Forget when events happened."""
        self.ts = np.zeros(0, np.int64)

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
        end = gather(self.ts, self.after(event))
        end[~self.has_next(event)] = end_ns
        return end

    def gil_of(self, lane: LaneIds) -> I4:
        """int32: the GIL of each lane, as a place in ``source.gils``."""
        if self.n_gils == 1:
            return constant(0, len(lane), np.int32)
        return (lane % np.uint32(self.n_gils)).astype(np.int32)


def read_lanes(src: Source, behind: Behind, mended: Mended) -> Lanes:
    """The lanes of one process, with times put right where those of a thread run backwards.

    Takes the events out of the source.

    Args:
        src: the events.
        behind: what else they say about releases.
        mended: grows by what had to be mended.
    """
    at, lane = _sorted_by_lane(src)
    lost = _lost_events(src)
    n_lanes = len(src.threads) * src.n_gils
    ts, data = src.hand_over(at)
    twice = _in_time(ts, data, lane, mended)
    if len(twice):
        at, lane = np.delete(at, twice), np.delete(lane, twice)
        ts, data = np.delete(ts, twice), np.delete(data, twice)
    kind = kinds(data)
    requests = np.flatnonzero(kind == Kind.DROP_REQUEST)
    request_ts, request_data, request_lane = ts[requests], data[requests], lane[requests]
    # So many events that are no requests come before each.
    after = requests - np.arange(1, len(requests) + 1)
    if len(requests):
        kept = positions(kind != Kind.DROP_REQUEST)
        at, lane, kind = compacted(at, kept), compacted(lane, kept), compacted(kind, kept)
        ts, data = compacted(ts, kept), compacted(data, kept)
        del kept
        mine = after >= 0
        mine[mine] = lane[after[mine]] == request_lane[mine]
        after[~mine] = -1
    follows = np.zeros(len(at), np.bool_)
    np.equal(lane[1:], lane[:-1], out=follows[:-1])
    mended.lost_events += int(lost.events.sum())
    lost_first, blind = _losses(lost, (at, ts), lane, follows, (n_lanes, src.n_gils))
    return Lanes(
        n_gils=src.n_gils,
        ts=ts,
        data=data,
        kind=kind,
        lane=lane,
        follows=follows,
        stack=gather(behind.stack, at),
        fd=gather(behind.fd, at),
        lost_first=lost_first,
        request_ts=request_ts,
        request_data=request_data,
        request_lane=request_lane,
        request_after=after,
        blind=blind,
    )


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


def _in_time(ts: I8, data: U8, lane: LaneIds, mended: Mended) -> I8:
    """See to it that times do not fall within a lane (in place).

    Program order is certain: a time before its predecessor's is wrong, and is moved forward.

    Returns:
        int64: the events that are there twice.
    """
    suspects = np.flatnonzero(ts[1:] <= ts[:-1])
    suspects = suspects[lane[suspects] == lane[suspects + 1]]
    back = suspects[ts[suspects + 1] < ts[suspects]]
    for one in np.unique(lane[back]):
        first, last = np.searchsorted(lane, [one, int(one) + 1])
        moved = np.maximum.accumulate(ts[first:last])
        mended.backwards += int(np.count_nonzero(moved - ts[first:last] > CLOCK_SKEW_NS))
        ts[first:last] = moved
    same = suspects[ts[suspects] == ts[suspects + 1]]
    same = same[data[same] == data[same + 1]]
    mended.duplicates += len(same)
    twice: I8 = same + 1
    return twice


class _Lost(NamedTuple):
    """LOST events: file positions, how many events each stands for, and places of threads."""

    at: I4
    events: I8
    loser: I4


def _lost_events(src: Source) -> _Lost:
    at = positions(src.kind == Kind.LOST)
    return _Lost(at, src.payload(at), src.ranks_of(at))


def _losses(
    lost: _Lost, events: tuple[I4, I8], lane: LaneIds, follows: Bool, numbers: tuple[int, int]
) -> tuple[Bool, I8]:
    """Break lanes where events were lost (in ``follows``); ``lost_first`` and ``blind`` of Lanes.

    The time of a LOST event says nothing; those of its neighbours bound when it happened.

    Args:
        lost: what was.
        events: file positions and times.
        lane: of each event.
        follows: as in `Lanes`.
        numbers: of lanes and of GILs.
    """
    at, ts = events
    n_lanes, n_gils = numbers
    lost_first = np.zeros(n_lanes, np.bool_)
    blind = [np.zeros((0, 3), np.int64)]
    if not len(lost.at):
        return lost_first, blind[0]
    bounds = segments(lane, n_lanes)
    for thread in np.unique(lost.loser):
        mine = lost.loser == thread
        for gil in range(n_gils):
            one = int(thread) * n_gils + gil
            first, last = bounds[one], bounds[one + 1]
            if first == last:
                continue
            place = np.searchsorted(at[first:last], lost.at[mine]) + first
            hiding = place[lost.events[mine] >= _HIDES_A_TENURE]
            follows[hiding[hiding > first] - 1] = False
            lost_first[one] = bool((hiding == first).any())
            stretch = np.empty((len(place), 3), np.int64)
            stretch[:, 0] = gil
            since, until = np.maximum(place - 1, first), np.minimum(place, last - 1)
            stretch[:, 1] = np.where(place > first, ts[since], 0)
            stretch[:, 2] = np.where(place < last, ts[until], MAX_NS)
            blind.append(stretch)
    return lost_first, np.concatenate(blind)
