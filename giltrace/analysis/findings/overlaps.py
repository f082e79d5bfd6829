"""Which holds each wait fell on, and for how long: sums over many, without listing the pairs.

With many waiters each hold counts for all of them, so the pairs may be far more than the trace is
long. Holds of one GIL follow one another, so sums over all holds in the way of a wait are
differences of running totals; only the first of them, and the last, may have to be cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from giltrace.model.dense import pieces
from giltrace.model.tables import I4, I8, Bool
from giltrace.model.trace import Trace


@dataclass(frozen=True, slots=True)
class Parts:
    """A part of each hold of one GIL, made where it is asked for.

    Attributes:
        start: int64 [holds], where it begins.
        end: int64 [holds], where it ends; no part if that is not later.
        chosen: bool [holds], False for holds of which it is no part; None for all True.
    """

    start: I8
    end: I8
    chosen: Bool | None = None

    def at(self, holds: slice | npt.NDArray[np.signedinteger]) -> tuple[I8, I8]:
        """Start and end of the part of some holds; equal where it is none."""
        start, end = self.start[holds], np.maximum(self.end[holds], self.start[holds])
        if self.chosen is not None:
            end[~self.chosen[holds]] = start[~self.chosen[holds]]
        return start, end


class Overlaps:
    """Waits of one GIL against its holds. Holds and waits are numbered from 0 here.

    Attributes:
        first: int32 [waits], the first hold in the way of each.
        stop: int32 [waits], the hold behind the last one in the way.
    """

    def __init__(self, holds: tuple[I8, I8], waits: tuple[I8, I8], granted: I4) -> None:
        """Find the holds in the way of each wait.

        Args:
            holds: start and end of each, in the order of tenures.
            waits: start and end of each.
            granted: int32 [waits], the hold each one led to; -1 for none.
        """
        self._holds = len(holds[0])
        self._start, self._end = waits
        self.first: I4 = np.empty(len(granted), np.int32)
        for some in pieces(len(granted)):
            self.first[some] = np.searchsorted(holds[1], self._start[some], side="right")
        # Whoever acquires in the end is not in one's own way.
        self.stop = granted.copy()
        vain = np.flatnonzero(granted < 0)
        self.stop[vain] = np.searchsorted(holds[0], self._end[vain])
        np.maximum(self.stop, self.first, out=self.stop)

    def on(self, parts: Parts, rows: I8) -> I8:
        """int64 [rows]: for how long some waits fell on a part of each hold.

        Args:
            parts: of the holds.
            rows: int64, which waits.
        """
        total = np.zeros(self._holds + 1, np.int64)
        for some in pieces(self._holds):
            start, end = parts.at(some)
            np.cumsum(end - start, out=total[some.start + 1 : some.stop + 1])
            total[some.start + 1 : some.stop + 1] += total[some.start]
        found = np.empty(len(rows), np.int64)
        for some in pieces(len(rows)):
            first, stop = self.first[rows[some]], self.stop[rows[some]]
            on = total[stop] - total[first]
            met = np.flatnonzero(stop > first)
            early, late = self._cuts(parts, rows[some][met])
            on[met] -= early + late
            found[some] = np.maximum(on, 0)
        return found

    def laid(self, parts: Parts, rows: I8) -> I8:
        """int64 [holds]: for how long each hold's part was in the way of any of some waits.

        It adds up to what `on` says of the same waits.

        Args:
            parts: as for `on`.
            rows: as for `on`.
        """
        waiting = np.zeros(self._holds + 1, np.int32)
        for some in pieces(len(rows)):
            np.add.at(waiting, self.first[rows[some]], np.int32(1))
            np.subtract.at(waiting, self.stop[rows[some]], np.int32(1))
        np.cumsum(waiting, out=waiting)
        found = np.empty(self._holds, np.int64)
        for some in pieces(self._holds):
            start, end = parts.at(some)
            np.multiply(waiting[some], end - start, out=found[some])
        for some in pieces(len(rows)):
            here = rows[some]
            here = here[self.stop[here] > self.first[here]]
            early, late = self._cuts(parts, here)
            np.subtract.at(found, self.first[here], early)
            np.subtract.at(found, self.stop[here] - 1, late)
        return found

    def _cuts(self, parts: Parts, rows: I8) -> tuple[I8, I8]:
        """How much of the first part lies before each wait, and of the last one behind it."""
        start, end = parts.at(self.first[rows])
        early = np.minimum(end, self._start[rows]) - start
        start, end = parts.at(self.stop[rows] - 1)
        late = end - np.maximum(start, self._end[rows])
        return np.maximum(early, 0), np.maximum(late, 0)


def granted_of(trace: Trace, waits: slice, first_hold: int) -> I4:
    """int32 [waits]: the hold that each of some waits led to; -1 for none.

    Args:
        trace: where they are from.
        waits: which, all of one GIL.
        first_hold: the index of the hold that is to be number 0.
    """
    found = trace.waits.hold[waits].astype(np.int32)
    found[found >= 0] -= np.int32(first_hold)
    return found
