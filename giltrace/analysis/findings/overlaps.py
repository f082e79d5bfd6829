"""Which holds each wait fell on, and for how long: sums over many, without listing the pairs.

With many waiters each hold counts for all of them, so the pairs may be far more than the trace is
long. Holds of one GIL follow one another, so sums over all holds in the way of a wait are
differences of running totals; only the first of them, and the last, may have to be cut.
"""

from __future__ import annotations

import numpy as np

from giltrace.model.dense import sums
from giltrace.model.tables import I8


class Overlaps:
    """Waits of one GIL against its holds. Holds and waits are numbered from 0 here.

    Attributes:
        first: int64 [waits], the first hold in the way of each.
        stop: int64 [waits], the hold behind the last one in the way.
    """

    def __init__(self, holds: tuple[I8, I8], waits: tuple[I8, I8], granted: I8) -> None:
        """Find the holds in the way of each wait.

        Args:
            holds: start and end of each, in the order of tenures.
            waits: start and end of each.
            granted: int64 [waits], the hold each one led to; -1 for none.
        """
        self._holds = len(holds[0])
        self._start, self._end = waits
        self.first: I8 = np.searchsorted(holds[1], self._start, side="right").astype(np.int64)
        # Whoever acquires in the end is not in one's own way.
        stop = granted.copy()
        vain = np.flatnonzero(granted < 0)
        stop[vain] = np.searchsorted(holds[0], self._end[vain])
        self.stop: I8 = np.maximum(stop, self.first)

    def on(self, start: I8, end: I8, rows: I8) -> I8:
        """int64 [rows]: for how long some waits fell on a part of each hold.

        Args:
            start: int64 [holds], where the part of each hold begins.
            end: int64 [holds], and ends; no part if that is not later.
            rows: int64, which waits.
        """
        total = np.zeros(self._holds + 1, np.int64)
        np.maximum(end - start, 0).cumsum(out=total[1:])
        first, stop = self.first[rows], self.stop[rows]
        found = total[stop] - total[first]
        met = np.flatnonzero(stop > first)
        early, late = self._cuts(start, end, rows[met])
        found[met] -= early + late
        on: I8 = np.maximum(found, 0)
        return on

    def laid(self, start: I8, end: I8, rows: I8) -> I8:
        """int64 [holds]: for how long each hold's part was in the way of any of some waits.

        It adds up to what `on` says of the same waits.

        Args:
            start: as for `on`.
            end: as for `on`.
            rows: as for `on`.
        """
        rows = rows[self.stop[rows] > self.first[rows]]
        first, stop = self.first[rows], self.stop[rows]
        waiting = np.bincount(first, minlength=self._holds + 1)
        waiting -= np.bincount(stop, minlength=self._holds + 1)
        found: I8 = waiting[:-1].cumsum() * np.maximum(end - start, 0)
        early, late = self._cuts(start, end, rows)
        found -= sums(first, early, self._holds)
        found -= sums(stop - 1, late, self._holds)
        return found

    def _cuts(self, start: I8, end: I8, rows: I8) -> tuple[I8, I8]:
        """How much of the first part lies before each wait, and of the last one behind it."""
        first, last = self.first[rows], self.stop[rows] - 1
        early = np.minimum(end[first], self._start[rows]) - start[first]
        late = end[last] - np.maximum(start[last], self._end[rows])
        return np.maximum(early, 0), np.maximum(late, 0)
