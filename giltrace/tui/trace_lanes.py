"""The lanes of a trace in the order of the screen, and the holds of each GIL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from giltrace.analysis.timeline.steps import Steps
from giltrace.model import Trace
from giltrace.model.tables import I8
from giltrace.tui.source import Group, Lane
from giltrace.wording.human import signed
from giltrace.wording.labels import Labels

_STRIDE: Final = 32


class TraceLanes:
    """Lanes and groups of a trace; threads are in the order in which they came.

    Where some are known to live, these come before those that have ended.

    Attributes:
        groups: the GILs that have lanes.
        lanes: all lanes, group by group, the GIL's own first.
        steps_of: int64 [lanes], the lane in the steps; -1 for a GIL's own.
    """

    def __init__(
        self, trace: Trace, steps: Steps, labels: Labels, living: Collection[int] = ()
    ) -> None:
        self._trace = trace
        self.groups: list[Group] = []
        self.lanes: list[Lane] = []
        self._gils: list[int] = []
        of_steps: list[int] = []
        # Without a policy nobody has one, or it means nothing.
        priorities = "policy" in trace.session.options or len(trace.priorities) > 0
        for gil in trace.gils:
            mine = np.flatnonzero(steps.gil == gil.index).tolist()
            if not mine:
                continue
            inferred = trace.processes[gil.process].inferred
            self.groups.append(
                Group(labels.gil(gil.index), "waits were not seen" if inferred else "")
            )
            self._gils.append(gil.index)
            group = len(self.groups) - 1
            self._add(group, "GIL", is_gil=True, colour=0)
            of_steps.append(-1)
            # Colours by the order in which they came: a thread that ends changes no other's.
            coloured = list(enumerate(mine))
            if living:
                coloured.sort(key=lambda lane: int(steps.thread[lane[1]]) not in living)
            for colour, one in coloured:
                thread = int(steps.thread[one])
                priority = trace.priorities.at(thread, trace.end_ns)
                note = signed(priority) if priorities else ""
                self._add(group, labels.thread(thread), colour=colour, note=note)
                of_steps.append(one)
        self.steps_of: I8 = np.array(of_steps, np.int64)
        self._lane_of = np.full(len(steps), -1, np.int64)
        known = np.flatnonzero(self.steps_of >= 0)
        self._lane_of[self.steps_of[known]] = known
        self._sums = {gil: _strided(trace, trace.holds_of(gil)) for gil in self._gils}

    def _add(
        self, group: int, label: str, *, is_gil: bool = False, colour: int, note: str = ""
    ) -> None:
        self.lanes.append(Lane(len(self.lanes), group, label, is_gil, colour, note))

    def gil_of(self, lane: int) -> int:
        """Index into ``trace.gils``."""
        return self._gils[self.lanes[lane].group]

    def lane_of(self, one: int) -> int:
        """The lane of a lane of the steps; -1 of -1."""
        return int(self._lane_of[one]) if one >= 0 else -1

    def threads_in(self, gil_lane: int) -> I8:
        """int64: the lanes of the threads of a group, given the GIL's own."""
        last = gil_lane + 1
        while last < len(self.lanes) and not self.lanes[last].is_gil:
            last += 1
        return np.arange(gil_lane + 1, last)

    def hold_at(self, gil_lane: int, ts: int) -> int | None:
        """The hold of a GIL at a time."""
        holds, mine = self._trace.holds, self._trace.holds_of(self.gil_of(gil_lane))
        at = mine.start + int(np.searchsorted(holds.start[mine], ts, side="right")) - 1
        return at if at >= mine.start and ts < holds.end[at] else None

    def holds_between(self, gil_lane: int, start: int, end: int) -> slice:
        """The holds of a GIL that are in a stretch of time."""
        holds, mine = self._trace.holds, self._trace.holds_of(self.gil_of(gil_lane))
        low = int(np.searchsorted(holds.end[mine], start, side="right"))
        high = int(np.searchsorted(holds.start[mine], end))
        return slice(mine.start + low, mine.start + max(low, high))

    def held_before(self, gil_lane: int, edges: I8) -> I8:
        """int64 [edges]: for how long a GIL was held before each time."""
        gil = self.gil_of(gil_lane)
        holds, mine = self._trace.holds, self._trace.holds_of(gil)
        at = np.searchsorted(holds.start[mine], edges, side="right").astype(np.int64)
        block = at // _STRIDE
        held: I8 = self._sums[gil][block]
        index = (block * _STRIDE)[:, None] + np.arange(_STRIDE)
        inside = index < at[:, None]
        index = np.minimum(index, max(0, mine.stop - mine.start - 1)) + mine.start
        ns = (
            holds.end[index] - holds.start[index]
            if mine.stop > mine.start
            else np.zeros_like(index)
        )
        held += (ns * inside).sum(axis=1)
        # The last one that began may not have ended.
        last = np.maximum(at - 1, 0) + mine.start
        if mine.stop > mine.start:
            held -= np.where(at > 0, np.maximum(holds.end[last] - edges, 0), 0)
        return held


def _strided(trace: Trace, mine: slice) -> I8:
    """int64: the length of all holds before every 32nd one."""
    ns = trace.holds.end[mine] - trace.holds.start[mine]
    firsts = np.arange(0, len(ns), _STRIDE)
    sums = np.zeros(len(ns) // _STRIDE + 2, np.int64)
    if len(firsts):
        sums[1 : len(firsts) + 1] = np.cumsum(np.add.reduceat(ns, firsts))
    return sums
