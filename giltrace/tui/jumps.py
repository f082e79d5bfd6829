"""Finding the next interval of a kind in a trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from giltrace.analysis.findings.convoy import stalls
from giltrace.analysis.findings.scene import Scene
from giltrace.analysis.timeline.state import State
from giltrace.analysis.timeline.steps import Steps
from giltrace.model import Cause, Trace
from giltrace.model.handoffs import handed_off
from giltrace.model.tables import I4, I8, U1, Bool
from giltrace.tui.source import Interval, Jump

_LONGEST: Final = 1000
"""So many of the longest waits can be gone through."""
_SCAN: Final = 1 << 14


class Jumps:
    """What can be jumped to in a trace. Waits and holds are indices into its columns."""

    def __init__(self, trace: Trace, steps: Steps) -> None:
        self._trace = trace
        self._steps = steps
        self._longest: dict[tuple[int, int | None], list[int]] = {}

    @cached_property
    def handed(self) -> Bool:
        """Bool [holds]: it began with a hand-off."""
        handed = np.zeros(len(self._trace.holds), np.bool_)
        handed[1:] = handed_off(self._trace.holds)
        return handed

    @cached_property
    def stalls(self) -> Bool:
        """Bool [waits]: it is a convoy stall (takes a while for large traces)."""
        trace = self._trace
        found = np.zeros(len(trace.waits), np.bool_)
        for gil in trace.gils:
            waits = trace.waits_of(gil.index)
            if waits.start == waits.stop or not len(trace.holds):
                continue
            scene = Scene(trace, gil)
            found[waits.start + stalls(scene, np.ones(waits.stop - waits.start, np.bool_))] = True
        return found

    def find(
        self, jump: Jump, gil: int, lane: int | None, origin: Interval | int, *, back: bool
    ) -> int | None:
        """The next wait or hold of a kind.

        Args:
            jump: which kind.
            gil: of which GIL.
            lane: in which lane of the steps; None for all.
            origin: from where.
            back: go backwards.
        """
        if jump is Jump.LONGEST:
            return self._next_longest(gil, lane, origin, back=back)
        return self._find(self._wanted(jump), gil, lane, origin, is_wait=jump.is_wait, back=back)

    def find_hold(
        self, mask: Bool, gil: int, lane: int | None, origin: Interval | int, *, back: bool
    ) -> int | None:
        """The next hold of those that are true in ``mask``; otherwise as `find`."""
        return self._find(lambda ref: mask[ref], gil, lane, origin, is_wait=False, back=back)

    def _find(
        self,
        wanted: Callable[[npt.NDArray[Any]], Bool],
        gil: int,
        lane: int | None,
        origin: Interval | int,
        *,
        is_wait: bool,
        back: bool,
    ) -> int | None:
        if lane is None:
            table = self._trace.waits if is_wait else self._trace.holds
            mine = self._trace.waits_of(gil) if is_wait else self._trace.holds_of(gil)
            at = self._place(table.start[mine], origin, is_wait=is_wait, back=back) + mine.start
            return _scan(wanted, mine, at, back=back)
        ts = origin if isinstance(origin, int) else origin.start

        def fits(state: U1, ref: I4) -> Bool:
            if is_wait:
                right: Bool = state == State.WAITING
            else:
                right = (state == State.HOLDING) | (state == State.HELD_IDLE)
            right[right] = wanted(ref[right])
            return right

        step = self._steps.search(lane, ts, back=back, wanted=fits)
        return step.ref if step else None

    def other_end(self, interval: Interval) -> int | None:
        """The hold at the other end of the hand-off that ends an interval."""
        holds, waits = self._trace.holds, self._trace.waits
        if interval.state is State.WAITING:
            hold = int(waits.hold[interval.ref])
            return hold - 1 if hold > 0 and self.handed[hold] else None
        hold = interval.ref + 1
        return hold if hold < len(holds) and self.handed[hold] else None

    def _wanted(self, jump: Jump) -> Callable[[npt.NDArray[Any]], Bool]:
        holds, waits = self._trace.holds, self._trace.waits
        if jump is Jump.HANDOFF:
            return lambda ref: self.handed[ref]
        if jump is Jump.FORCED:
            return lambda ref: holds.cause[ref] == Cause.FORCED
        if jump is Jump.STALL:
            return lambda ref: self.stalls[ref]
        return lambda ref: waits.end[ref] > waits.start[ref]

    def _place(self, start: I8, origin: Interval | int, *, is_wait: bool, back: bool) -> int:
        """Where to begin: the first that comes after, or the one behind the last before."""
        if isinstance(origin, int):
            return int(np.searchsorted(start, origin, side="left" if back else "right"))
        if (origin.state is State.WAITING) == is_wait and (is_wait or origin.state.is_held):
            table = self._trace.waits if is_wait else self._trace.holds
            gil = int(table.gil[origin.ref])
            mine = self._trace.waits_of(gil) if is_wait else self._trace.holds_of(gil)
            return origin.ref - int(mine.start) + (0 if back else 1)
        return int(np.searchsorted(start, origin.start, side="left" if back else "right"))

    def _next_longest(
        self, gil: int, lane: int | None, origin: Interval | int, *, back: bool
    ) -> int | None:
        longest = self._longest.get((gil, lane))
        if longest is None:
            longest = self._longest[gil, lane] = self._longest_of(gil, lane)
        is_wait = isinstance(origin, Interval) and origin.state is State.WAITING
        if not is_wait or origin.ref not in longest:  # type: ignore[union-attr]
            return longest[0] if longest else None
        at = longest.index(origin.ref) + (-1 if back else 1)  # type: ignore[union-attr]
        return longest[at] if 0 <= at < len(longest) else None

    def _longest_of(self, gil: int, lane: int | None) -> list[int]:
        waits = self._trace.waits
        if lane is None:
            mine = self._trace.waits_of(gil)
            which = np.arange(mine.start, mine.stop)
        else:
            here = slice(int(self._steps.bounds[lane]), int(self._steps.bounds[lane + 1]))
            which = self._steps.ref[here][self._steps.state[here] == State.WAITING]
        ns = waits.end[which] - waits.start[which]
        if len(which) > _LONGEST:
            kept = np.argpartition(-ns, _LONGEST)[:_LONGEST]
            which, ns = which[kept], ns[kept]
        found: list[int] = which[np.lexsort((which, -ns))].tolist()
        return found


def _scan(
    wanted: Callable[[npt.NDArray[Any]], Bool], mine: slice, at: int, *, back: bool
) -> int | None:
    """The first wanted index from ``at`` on, or the last one before it, within ``mine``."""
    size = _SCAN
    while (mine.start < at) if back else (at < mine.stop):
        low, high = (max(mine.start, at - size), at) if back else (at, min(mine.stop, at + size))
        hits = np.flatnonzero(wanted(np.arange(low, high)))
        if len(hits):
            return low + int(hits[-1 if back else 0])
        at, size = (low if back else high), 2 * size
    return None
