"""Waits and drop requests of one process."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import FLAG_EARLY, Kind
from giltrace.model.dense import gather, positions, segments
from giltrace.model.drafts import Draft, Window
from giltrace.model.lanes import Lanes
from giltrace.model.mending import CLOCK_SKEW_NS, Mended
from giltrace.model.source import LaneIds, flags, payloads
from giltrace.model.tables import I4, I8, Bool


@dataclass(frozen=True, slots=True)
class Grants:
    """Which wait led to which hold.

    Attributes:
        wait: int32 [n], events in the lanes, ascending.
        hold: int32 [n], the hold that each led to, or -1.
        counted: bool [requests of the lanes], False for those of a wait that is there twice.
    """

    wait: I4
    hold: I4
    counted: Bool


@dataclass(frozen=True, slots=True)
class DraftWaits:
    """Waits sorted by GIL and start; columns as in `giltrace.model.tables.Waits`."""

    lane: LaneIds
    start: I8
    end: I8
    hold: I8
    requests: I4


@dataclass(frozen=True, slots=True)
class DraftRequests:
    """Drop requests sorted by GIL and time; columns as in `DropRequests`."""

    lane: LaneIds
    ts: I8
    hold: I8
    early: Bool


def grants(lanes: Lanes, draft: Draft, mended: Mended) -> Grants:
    """All waits of one process, and the holds they led to."""
    wait = positions(lanes.kind == Kind.WAIT)
    after = lanes.after(wait)
    # A RELEASE here is one without an acquire: the hold it stands for, if it has a place.
    leads = gather(lanes.follows, wait) & (gather(lanes.kind, after) != Kind.WAIT)
    hold = gather(draft.of_event, after)
    hold[~leads] = -1
    if draft.twins:
        led = np.flatnonzero(hold >= 0)
        hold[led[draft.lane[hold[led]] != lanes.lane[wait[led]]]] = -1
    counted = np.ones(len(lanes.request_ts), np.bool_)
    mended.no_grant += int(np.count_nonzero(lanes.has_next(wait[hold < 0])))
    if not draft.twins:
        return Grants(wait, hold, counted)
    kept = _first_for_each(hold)
    counted = ~np.isin(lanes.request_after, wait[~kept])
    mended.duplicates += int(np.count_nonzero(~kept)) + int(np.count_nonzero(~counted))
    return Grants(wait[kept], hold[kept], counted)


def draft_waits(lanes: Lanes, draft: Draft, granted: Grants, window: Window) -> DraftWaits:
    """All waits of one process."""
    wait = granted.wait
    start = gather(lanes.ts, wait)
    if draft.moved:
        _after_own_holds(lanes, draft, wait, start)
    hold = granted.hold
    if draft.moved:
        _after_holds_in_between(draft, hold, start)
    end = gather(draft.start, hold) if len(draft) else np.zeros(len(wait), np.int64)
    vain = np.flatnonzero(hold < 0)
    end[vain] = lanes.until(wait[vain], window.end_ns)
    late = np.flatnonzero(end < start)
    if len(late):
        # It cannot be the wait that led there.
        hold[late] = -1
        end[late] = start[late]
    requests = _requests_during(wait, lanes.request_after[granted.counted])
    lane = gather(lanes.lane, wait)
    order = np.argsort(start, kind="stable")
    if lanes.n_gils > 1:
        gil = lanes.gil_of(lane[order])
        order = order[np.argsort(gil.astype(np.uint8), kind="stable")]
    # One at a time, so that no more than one column exists twice.
    start = gather(start, order)
    end = gather(end, order)
    return DraftWaits(
        gather(lane, order),
        start,
        end,
        gather(hold, order).astype(np.int64),
        gather(requests, order),
    )


def _first_for_each(hold: I4) -> Bool:
    """Bool: False for a wait whose hold an earlier one leads to as well."""
    kept = np.ones(len(hold), np.bool_)
    granted = np.flatnonzero(hold >= 0)
    _, first = np.unique(hold[granted], return_index=True)
    kept[granted] = False
    kept[granted[first]] = True
    return kept


def _after_own_holds(lanes: Lanes, draft: Draft, wait: I4, start: I8) -> None:
    """No thread waits for what it holds: begin no wait before the holds before it have ended."""
    end = np.zeros(len(lanes), np.int64)
    event = np.flatnonzero(draft.of_event >= 0)
    hold = draft.of_event[event]
    own = draft.lane[hold] == lanes.lane[event]
    end[event[own]] = draft.end[hold[own]]
    for first, last in itertools.pairwise(segments(lanes.lane, len(lanes.lost_first)).tolist()):
        np.maximum.accumulate(end[first:last], out=end[first:last])
    np.maximum(start, end[wait], out=start)


def _after_holds_in_between(draft: Draft, hold: I4, start: I8) -> None:
    """The same for holds whose times were moved to between a wait and the hold it led to."""
    granted = np.flatnonzero(hold >= 0)
    order = np.lexsort((draft.start, draft.lane))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    mine = hold[granted]
    before = order[np.maximum(rank[mine] - 1, 0)]
    there = (rank[mine] > 0) & (draft.lane[before] == draft.lane[mine])
    end = np.minimum(draft.end[before[there]], draft.start[mine[there]])
    start[granted[there]] = np.maximum(start[granted[there]], end)


def _requests_during(wait: I4, after: I8) -> I4:
    """How many requests come right after each wait."""
    if len(after) == 0 or len(wait) == 0:
        return np.zeros(len(wait), np.int32)
    which = np.minimum(np.searchsorted(wait, after), len(wait) - 1)
    which = which[wait[which] == after]
    return np.bincount(which, minlength=len(wait)).astype(np.int32)


def draft_requests(lanes: Lanes, draft: Draft, granted: Grants, mended: Mended) -> DraftRequests:
    """All drop requests of one process."""
    counted = granted.counted
    ts, data = lanes.request_ts[counted], lanes.request_data[counted]
    lane = lanes.request_lane[counted]
    gil = lanes.gil_of(lane)
    hold = _named(draft, gil, payloads(data))
    named = np.flatnonzero(hold >= 0)
    inside = np.clip(ts[named], draft.start[hold[named]], draft.end[hold[named]])
    sound = np.abs(inside - ts[named]) <= CLOCK_SKEW_NS
    # Nobody asks itself; and after the hold's end there is nothing left to ask for.
    sound &= draft.lane[hold[named]] != lane[named]
    ts[named[sound]] = inside[sound]
    hold[named[~sound]] = -1
    mended.stray_requests += int(np.count_nonzero(hold < 0))
    order = np.lexsort((ts, gil)) if lanes.n_gils > 1 else np.argsort(ts, kind="stable")
    early = flags(data)[order] & np.uint8(FLAG_EARLY) != 0
    return DraftRequests(lane[order], ts[order], hold[order], early)


def _named(draft: Draft, gil: I4, tenure: I8) -> I8:
    """int64: the hold with that tenure number on that GIL, or -1."""
    hold = np.full(len(tenure), -1, np.int64)
    known: npt.NDArray[np.intp] | slice = slice(None)
    if (draft.tenure < 0).any():
        known = np.flatnonzero(draft.tenure >= 0)
    numbers, owner = draft.tenure[known], draft.gil[known]
    bounds = segments(owner, int(gil.max()) + 1 if len(gil) else 0).tolist()
    for one, (first, last) in enumerate(itertools.pairwise(bounds)):
        if first == last:
            continue
        mine = np.flatnonzero(gil == one)
        place = np.searchsorted(numbers[first:last], tenure[mine]) + first
        place = np.minimum(place, last - 1)
        found = numbers[place] == tenure[mine]
        index = place if isinstance(known, slice) else known[place]
        hold[mine[found]] = index[found]
    return hold
