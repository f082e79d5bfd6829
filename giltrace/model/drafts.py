"""The holds of one process: acquires paired with releases, put into the order of tenures.

Tenure numbers are taken under the GIL's own mutex, so they, and not the clock, say who came after
whom. Whatever does not fit is made to fit in the way that claims least: holds are cut short, never
made longer, and two of them never overlap.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from giltrace.capture.events import Kind
from giltrace.model.dense import gather, pieces, positions, rows_of, segments
from giltrace.model.lanes import Lanes
from giltrace.model.mending import CLOCK_SKEW_NS, Mended
from giltrace.model.source import LaneIds, payloads
from giltrace.model.tables import I4, I8, Bool
from giltrace.model.unpaired import Known, Unpaired, place_unpaired, unpaired_releases


@dataclass(frozen=True, slots=True)
class Window:
    """When a process was watched.

    Attributes:
        start: int64, for each GIL of the source: since when.
        end_ns: until when.
    """

    start: I8
    end_ns: int


@dataclass(slots=True)
class Draft:
    """Holds in final order (GIL, tenure) with final times.

    Attributes:
        lane: unsigned [n].
        gil: int32 [n], place in ``source.gils``.
        start: int64 [n].
        end: int64 [n].
        tenure: int64 [n]; -1 if not known.
        release: int32 [n], the event in the lanes that ended it; -1 if there is none.
        open: bool [n], no release, and nothing on record comes after it.
        of_event: int32 [events], the hold that an ACQUIRE, or a RELEASE without one, stands for;
            -1 for all other events.
        twins: acquires were left out as duplicates: several may stand for one hold.
        moved: some holds end later than their releases say.
    """

    lane: LaneIds
    gil: I4
    start: I8
    end: I8
    tenure: I8
    release: I4
    open: Bool
    of_event: I4
    twins: bool
    moved: bool

    def __len__(self) -> int:
        return len(self.start)


def draft_holds(lanes: Lanes, window: Window, mended: Mended) -> Draft:
    """All holds of one process."""
    draft, closed = _acquired(lanes, window, mended)
    mended.overlaps += _cut(draft, closed)
    unclosed = len(closed) - int(np.count_nonzero(closed))
    found = unpaired_releases(lanes)
    if len(found):
        _insert_unpaired(lanes, draft, found, window, mended)
    _settle_unclosed(lanes, draft)
    mended.no_release += unclosed - int(np.count_nonzero(draft.open))
    _count_missing(draft, lanes.n_gils, mended)
    return draft


def _acquired(lanes: Lanes, window: Window, mended: Mended) -> tuple[Draft, Bool]:
    """The holds whose acquires are on record, and whether their releases are."""
    acquires, tenure, of_event, twins = _in_tenure_order(lanes, mended)
    lane = gather(lanes.lane, acquires)
    gil = lanes.gil_of(lane)
    closed = _closed(lanes, acquires)
    start = gather(lanes.ts, acquires)
    end = gather(lanes.ts, lanes.after(acquires))
    unclosed = np.flatnonzero(~closed)
    end[unclosed] = lanes.until(acquires[unclosed], window.end_ns)
    goes_on = lanes.has_next(acquires[unclosed])
    release = acquires
    release += 1
    release[unclosed] = -1
    moved = _never_backwards(start, gil, mended)
    np.maximum(end, start, out=end)
    still_open = ~closed
    still_open[unclosed[goes_on]] = False
    return (
        Draft(lane, gil, start, end, tenure, release, still_open, of_event, twins, moved),
        closed,
    )


def _closed(lanes: Lanes, acquires: I4) -> Bool:
    """Bool: whether the event after each of these acquires is its release."""
    closes = lanes.follows.copy()
    closes[:-1] &= lanes.kind[1:] == Kind.RELEASE
    return gather(closes, acquires)


def _in_tenure_order(lanes: Lanes, mended: Mended) -> tuple[I4, I8, I4, bool]:
    """Acquires by (GIL, tenure), one for each tenure; tenures; event to hold; any duplicates."""
    acquires = positions(lanes.kind == Kind.ACQUIRE)
    tenure = payloads(gather(lanes.data, acquires))
    # Each lane is ascending already, which the stable sort makes the most of.
    order = np.argsort(tenure, kind="stable")
    if lanes.n_gils > 1:
        gil = lanes.gil_of(lanes.lane[acquires[order]])
        order = order[np.argsort(gil.astype(np.uint8), kind="stable")]
    acquires, tenure = gather(acquires, order), gather(tenure, order)
    del order
    of_event = np.full(len(lanes), -1, np.int32)
    again = tenure[1:] == tenure[:-1]
    if again.any():
        gil = lanes.gil_of(lanes.lane[acquires])
        again &= gil[1:] == gil[:-1]
    if not again.any():
        for some in pieces(len(acquires)):
            of_event[acquires[some]] = np.arange(some.start, some.stop, dtype=np.int32)
        return acquires, tenure, of_event, False
    # Of two that claim one tenure, keep the one whose release is there.
    order = np.lexsort((~_closed(lanes, acquires), tenure, gil))
    acquires, tenure = acquires[order], tenure[order]
    first = np.concatenate((np.ones(1, np.bool_), ~again))
    of_event[acquires] = np.cumsum(first) - 1
    mended.duplicates += int(len(first) - np.count_nonzero(first))
    return acquires[first], tenure[first], of_event, True


def _never_backwards(start: I8, gil: I4, mended: Mended) -> bool:
    """Make acquires of one GIL ascend in time as they do in tenure (in place).

    Returns whether any had to be moved.
    """
    back = np.flatnonzero(start[1:] < start[:-1])
    back = back[gil[back] == gil[back + 1]]
    for one in np.unique(gil[back]).tolist():
        first, last = rows_of(gil, one)
        moved = np.maximum.accumulate(start[first:last])
        mended.backwards += int(np.count_nonzero(moved - start[first:last] > CLOCK_SKEW_NS))
        start[first:last] = moved
    return len(back) > 0


def _cut(draft: Draft, closed: Bool) -> int:
    """End each hold when the next one of its GIL begins (in place).

    Returns how many of the ``closed`` ones were cut by more than the clock's skew.
    """
    start, end, gil = draft.start, draft.end, draft.gil
    over = np.flatnonzero(end[:-1] > start[1:])
    over = over[gil[over] == gil[over + 1]]
    excess = end[over] - start[over + 1]
    end[over] = start[over + 1]
    return int(np.count_nonzero(closed[over] & (excess > CLOCK_SKEW_NS)))


def _insert_unpaired(
    lanes: Lanes, draft: Draft, found: Unpaired, window: Window, mended: Mended
) -> None:
    """A hold for each release that has no acquire, as far as there is room (in place)."""
    known = Known(draft.gil, draft.start, draft.end, draft.tenure, draft.release >= 0)
    placed = place_unpaired(found, known)
    del known
    found = placed.found
    mended.misplaced += placed.misplaced
    mended.no_acquire += int(np.count_nonzero(~placed.initial))
    # np.insert takes positions in the array as it was.
    where = placed.position
    for some in pieces(len(draft.of_event)):
        hold = draft.of_event[some]
        hold[hold >= 0] += np.searchsorted(where, hold[hold >= 0], side="right").astype(np.int32)
    new = where + np.arange(len(where))
    draft.of_event[found.release] = new
    # Column by column: those of a large capture should not all be in memory twice.
    draft.lane = np.insert(draft.lane, where, lanes.lane[found.release])
    draft.gil = np.insert(draft.gil, where, found.gil)
    draft.start = np.insert(draft.start, where, placed.end)
    draft.end = np.insert(draft.end, where, placed.end)
    draft.tenure = np.insert(draft.tenure, where, placed.tenure)
    draft.release = np.insert(draft.release, where, found.release)
    draft.open = np.insert(draft.open, where, np.zeros(len(where), np.bool_))
    draft.moved |= bool((placed.end > found.ts).any())
    _cut(draft, np.zeros(len(draft), np.bool_))
    _open_early(draft, new, found, window)


def _open_early(draft: Draft, new: I8, found: Unpaired, window: Window) -> None:
    """Begin each unpaired hold when its GIL became free, if that is when it must have begun.

    So it is for a thread that held the GIL before the recording reached it, and for one that was
    waiting. Of any other nothing but the release is known: its hold stays without length.
    """
    before = np.maximum(new - 1, 0)
    free = np.where(
        (new > 0) & (draft.gil[before] == found.gil), draft.end[before], window.start[found.gil]
    )
    opening = np.maximum(np.maximum(free, found.since), window.start[found.gil])
    early = (found.stream_start | found.waited) & (opening < draft.end[new])
    draft.start[new[early]] = opening[early]


def _settle_unclosed(lanes: Lanes, draft: Draft) -> None:
    """Decide about holds without a release (in place).

    One that another hold of its GIL follows is not open: its release was lost. It lasted until the
    next tenure, if that is the one that follows; if not, for as long as waiters still met it.
    """
    unclosed = np.flatnonzero(draft.release < 0)
    unclosed = unclosed[unclosed + 1 < len(draft)]
    unclosed = unclosed[draft.gil[unclosed + 1] == draft.gil[unclosed]]
    draft.open[unclosed] = False
    unsure = unclosed[draft.tenure[unclosed + 1] != draft.tenure[unclosed] + 1]
    if len(unsure):
        seen = _last_met(lanes, draft, unsure)
        draft.end[unsure] = np.clip(seen, draft.start[unsure], draft.end[unsure])


def _last_met(lanes: Lanes, draft: Draft, holds: I8) -> I8:
    """int64: when the last wait or drop request that names each of these holds was made, or 0."""
    wait = positions(lanes.kind == Kind.WAIT)
    lane = np.concatenate((lanes.lane[wait], lanes.request_lane))
    data = np.concatenate((lanes.data[wait], lanes.request_data))
    ts = np.concatenate((lanes.ts[wait], lanes.request_ts))
    # Tenures have 48 bits.
    named = lanes.gil_of(lane).astype(np.int64) << 48 | payloads(data)
    wanted = draft.gil[holds].astype(np.int64) << 48 | draft.tenure[holds]
    place = np.minimum(np.searchsorted(wanted, named), len(wanted) - 1)
    found = wanted[place] == named
    last = np.zeros(len(holds), np.int64)
    np.maximum.at(last, place[found], ts[found])
    return last


def _count_missing(draft: Draft, n_gils: int, mended: Mended) -> None:
    """Count the tenures between the first and the last known one that no hold on record can be."""
    for first, last in itertools.pairwise(segments(draft.gil, n_gils).tolist()):
        tenure = draft.tenure[first:last]
        known = tenure >= 0
        if known.any():
            low, high = int(known.argmax()), len(known) - 1 - int(known[::-1].argmax())
            mended.missing_tenures += int(tenure[high] - tenure[low]) - (high - low)
