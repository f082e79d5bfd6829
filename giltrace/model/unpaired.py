"""Releases without an acquire on record: where they belong, and whether they can be true.

A thread that held the GIL before the recording reached it begins its events with a release; that
is normal. In the middle of a thread's events it means that the acquire was lost, or fell into a
pause of the recording. Tenure numbers tell how many holds are missing between two known ones, so a
release for which they leave no room is an error and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import Kind
from giltrace.model.dense import gather, positions, rows_of
from giltrace.model.lanes import Lanes
from giltrace.model.mending import CLOCK_SKEW_NS
from giltrace.model.tables import I4, I8, Bool

_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Releases that no acquire precedes.

    Attributes:
        release: int32 [n], events in the lanes.
        gil: int32 [n], place in ``source.gils``.
        ts: int64 [n].
        stream_start: bool [n], the first event of its lane, with nothing lost before it.
        waited: bool [n], the event before it is a wait, with nothing lost in between.
        since: int64 [n], time of the event before it in its lane; 0 if there is none.
    """

    release: I4
    gil: I4
    ts: I8
    stream_start: Bool
    waited: Bool
    since: I8

    def __len__(self) -> int:
        return len(self.release)

    def take(self, which: npt.NDArray[np.int64] | Bool) -> Unpaired:
        """Only these, in this order."""
        return Unpaired(
            self.release[which],
            self.gil[which],
            self.ts[which],
            self.stream_start[which],
            self.waited[which],
            self.since[which],
        )


@dataclass(frozen=True, slots=True)
class Known:
    """The holds whose acquires are on record: columns sorted by GIL and tenure.

    ``closed`` says that the release is on record too; the others are as in `Draft`.
    """

    gil: I4
    start: I8
    end: I8
    tenure: I8
    closed: Bool

    def between(self, first: int, last: int) -> Known:
        """Those from index ``first`` to before ``last``."""
        some = slice(first, last)
        return Known(
            self.gil[some], self.start[some], self.end[some], self.tenure[some], self.closed[some]
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """Where unpaired releases go among the known holds.

    Attributes:
        found: those that have a place, in the order of their places.
        position: int64 [n], the known hold that each goes before, ascending.
        end: int64 [n], when its hold ends.
        tenure: int64 [n]; -1 if not known.
        initial: bool [n], the hold in force when the record began; nothing is wrong with that.
        misplaced: how many have no place.
    """

    found: Unpaired
    position: I8
    end: I8
    tenure: I8
    initial: Bool
    misplaced: int


def unpaired_releases(lanes: Lanes) -> Unpaired:
    """All releases that do not follow an acquire of their lane."""
    is_release = lanes.kind == Kind.RELEASE
    paired = lanes.kind == Kind.ACQUIRE
    paired &= lanes.follows
    np.greater(is_release[1:], paired[:-1], out=is_release[1:])
    del paired
    release = positions(is_release)
    before = np.maximum(release - np.int32(1), np.int32(0))
    lane = lanes.lane[release]
    first = (release == 0) | (lanes.lane[before] != lane)
    return Unpaired(
        release=release,
        gil=lanes.gil_of(lane),
        ts=gather(lanes.ts, release),
        stream_start=first & ~lanes.lost_first[lane],
        waited=~first & lanes.follows[before] & (lanes.kind[before] == Kind.WAIT),
        since=np.where(first, 0, gather(lanes.ts, before)),
    )


def place_unpaired(found: Unpaired, known: Known) -> Placed:
    """Find the place of each among the known holds."""
    pieces = []
    for one in np.unique(found.gil).tolist():
        first, last = rows_of(known.gil, one)
        mine = found.take(np.flatnonzero(found.gil == one))
        pieces.append(_place_in(mine, known.between(first, last), first))
    if len(pieces) == 1:
        return pieces[0]
    return Placed(
        found=Unpaired(
            *(
                np.concatenate([getattr(piece.found, name) for piece in pieces])
                for name in Unpaired.__slots__
            )
        ),
        position=np.concatenate([piece.position for piece in pieces]),
        end=np.concatenate([piece.end for piece in pieces]),
        tenure=np.concatenate([piece.tenure for piece in pieces]),
        initial=np.concatenate([piece.initial for piece in pieces]),
        misplaced=sum(piece.misplaced for piece in pieces),
    )


def _place_in(found: Unpaired, known: Known, offset: int) -> Placed:
    """`place_unpaired` for one GIL whose known holds begin at ``offset``."""
    total = len(found)
    found = found.take(np.argsort(found.ts, kind="stable"))
    slot = np.searchsorted(known.start, found.ts)
    busy_until = np.zeros(len(found), np.int64)
    after = slot > 0
    after[after] = known.closed[slot[after] - 1]
    busy_until[after] = known.end[slot[after] - 1]
    fits = found.ts >= busy_until - CLOCK_SKEW_NS
    found, slot, busy_until = found.take(fits), slot[fits], busy_until[fits]
    room = _room(slot, known.tenure)
    from_end, _ = _within_slot(slot)
    fits = from_end < room
    found, slot, busy_until = found.take(fits), slot[fits], busy_until[fits]
    initial = found.stream_start & (slot == 0) & (np.arange(len(slot)) == 0)
    return Placed(
        found=found,
        position=slot + offset,
        end=np.maximum(found.ts, busy_until),
        tenure=_numbers(found, slot, known.tenure),
        initial=initial,
        misplaced=total - len(found),
    )


def _room(slot: I8, tenure: I8) -> I8:
    """How many tenures are missing between the known ones around each slot."""
    room = np.full(len(slot), _UNLIMITED, np.int64)
    inner = (slot > 0) & (slot < len(tenure))
    room[inner] = tenure[slot[inner]] - tenure[slot[inner] - 1] - 1
    return room


def _within_slot(slot: I8) -> tuple[I8, I8]:
    """For each of some ascending slots: how many like it follow, and how many there are."""
    if len(slot) == 0:
        return slot, slot
    _, first, size = np.unique(slot, return_index=True, return_counts=True)
    index = np.repeat(np.arange(len(first)), size)
    return first[index] + size[index] - 1 - np.arange(len(slot)), size[index]


def _numbers(found: Unpaired, slot: I8, tenure: I8) -> I8:
    """Tenure numbers where they can be told, else -1."""
    number = np.full(len(slot), -1, np.int64)
    from_end, size = _within_slot(slot)
    full = (slot > 0) & (size == _room(slot, tenure))
    number[full] = tenure[slot[full]] - 1 - from_end[full]
    # The hold in force when recording began comes right before the first that was counted.
    initial = (slot == 0) & found.stream_start & (from_end == 0)
    number[initial] = tenure[0] - 1 if len(tenure) else 0
    return number
