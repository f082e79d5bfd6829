"""A finished recording as the source of a timeline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from giltrace.analysis.timeline.pyramid import Pyramid
from giltrace.analysis.timeline.state import State
from giltrace.analysis.timeline.steps import Step, Steps, steps
from giltrace.analysis.timeline.still import still
from giltrace.model import Trace
from giltrace.model.tables import I4, I8, Bool
from giltrace.tui.details import describe
from giltrace.tui.jumps import Jumps
from giltrace.tui.searching import Names
from giltrace.tui.source import Details, Group, Hit, Holders, Interval, Jump, Lane
from giltrace.tui.trace_lanes import TraceLanes
from giltrace.tui.view.rows import gil_lane
from giltrace.tui.words import inside
from giltrace.wording.labels import Labels

_CANDIDATES: Final = 24
"""So many threads, of those that held the GIL longest on the screen, are told apart in its lane."""


class TraceSource:
    """What a timeline shows of a trace; a `giltrace.tui.source.Source`."""

    revision = 0

    def __init__(self, trace: Trace, *, living: Collection[int] = ()) -> None:
        """Prepare a trace, which takes a second for ten million events.

        Args:
            trace: the trace.
            living: threads that are known to live at its end.
        """
        self.trace = trace
        self.labels = Labels(trace)
        self.steps: Steps = still(steps(trace), trace, living) if living else steps(trace)
        self._pyramid = Pyramid(self.steps)
        self._rows = TraceLanes(trace, self.steps, self.labels, living)
        self._jumps = Jumps(trace, self.steps)
        self._names = Names(trace)

    @property
    def start_ns(self) -> int:
        """When the recording begins."""
        return self.trace.start_ns

    @property
    def end_ns(self) -> int:
        """When it ends."""
        return self.trace.end_ns

    @property
    def states(self) -> frozenset[State]:
        """The states that there are."""
        return frozenset(map(State, np.flatnonzero(np.bincount(self.steps.state)).tolist()))

    @property
    def groups(self) -> Sequence[Group]:
        """All GILs with lanes."""
        return self._rows.groups

    @property
    def lanes(self) -> Sequence[Lane]:
        """All lanes."""
        return self._rows.lanes

    def cells(self, lanes: Sequence[int], edges: I8) -> I8:
        """For how long threads were in each state in each cell."""
        return self._pyramid.cells(self._rows.steps_of[list(lanes)], edges)

    def holders(self, lane: int, edges: I8) -> Holders:
        """Who held the GIL in each cell."""
        lanes = self._rows.threads_in(lane)
        if not len(lanes):
            nothing = np.zeros(len(edges) - 1, np.int64)
            return Holders(np.full(len(nothing), -1, np.int32), nothing, nothing)
        if len(lanes) > _CANDIDATES:
            whole = _held(self._pyramid.cells(self._rows.steps_of[lanes], edges[[0, -1]]))[:, 0]
            lanes = lanes[np.sort(np.argsort(-whole, kind="stable")[:_CANDIDATES])]
        held = _held(self._pyramid.cells(self._rows.steps_of[lanes], edges))
        longest = np.argmax(held, axis=0)
        ns = held[longest, np.arange(held.shape[1])]
        total = np.diff(self._rows.held_before(lane, edges))
        return Holders(np.where(ns > 0, lanes[longest], -1).astype(np.int32), ns, total)

    def at(self, lane: int, ts: int) -> Interval | None:
        """What a thread does at a time, or who holds the GIL."""
        if self.lanes[lane].is_gil:
            hold = self._rows.hold_at(lane, ts)
            return None if hold is None else self.of_hold(hold)
        return self._interval(lane, self.steps.at(int(self._rows.steps_of[lane]), ts))

    def between(self, lane: int, start: int, end: int, limit: int) -> list[Interval] | None:
        """The intervals in a stretch of time, or None if there are too many."""
        if self.lanes[lane].is_gil:
            holds = self._rows.holds_between(lane, start, end)
            if holds.stop - holds.start > limit:
                return None
            return [self.of_hold(hold) for hold in range(holds.start, holds.stop)]
        found = self.steps.between(int(self._rows.steps_of[lane]), start, end, limit)
        if found is None:
            return None
        return [Interval(lane, one.state, one.start, one.end, one.ref) for one in found]

    def text(self, interval: Interval) -> str:
        """A few words to stand inside an interval."""
        return inside(self.trace, self.labels, interval)

    def find(self, jump: Jump, lane: int, origin: Interval | int, back: bool) -> Interval | None:
        """The next interval of a kind, or the previous one."""
        here = self.lanes[lane]
        gil = self._rows.gil_of(lane)
        thread = None if here.is_gil else int(self._rows.steps_of[lane])
        found = self._jumps.find(jump, gil, thread, origin, back=back)
        if found is None:
            return None
        return self.of_wait(found) if jump.is_wait else self.of_hold(found)

    def follow(self, interval: Interval) -> Interval | None:
        """The interval at the other end of the hand-off that ends this one."""
        hold = self._jumps.other_end(interval)
        return None if hold is None else self.of_hold(hold)

    def describe(self, interval: Interval) -> Details:
        """All there is to say about an interval."""
        return describe(self, interval)

    def search(self, text: str, limit: int) -> list[Hit]:
        """Threads, functions and calls with a text in their names."""
        return self._names.search(text, self._rows.lanes, limit)

    def find_hit(self, hit: Hit, lane: int, origin: Interval | int, back: bool) -> Interval | None:
        """The next interval that has to do with a function or a call, or the previous one.

        Of a call it is the stretch off the GIL in it; of a function a hold that was released in it,
        or, if functions were recorded, what the thread did when it was called.
        """
        here = self.lanes[lane]
        thread = None if here.is_gil else int(self._rows.steps_of[lane])
        spans = self._names.spans_of(hit)
        if len(spans):
            return self._in_spans(spans, lane, origin, back)
        mask = self._names.holds_of(hit)
        hold = self._jumps.find_hold(mask, self._rows.gil_of(lane), thread, origin, back=back)
        if hold is None:
            return None
        found = self.of_hold(hold)
        after = self.at(found.lane, found.end) if hit.kind == "call" else None
        return after if after is not None and after.state.is_off else found

    def _in_spans(
        self, which: I8, lane: int, origin: Interval | int, back: bool
    ) -> Interval | None:
        spans, here = self.trace.spans, self.lanes[lane]
        threads = self._rows.threads_in(lane) if here.is_gil else np.array([lane])
        known = self.steps.thread[self._rows.steps_of[threads]]
        which = which[np.isin(spans.thread[which], known)]
        ts = origin if isinstance(origin, int) else origin.start
        starts = spans.start[which]
        fits = np.flatnonzero(starts < ts if back else starts > ts)
        for at in fits[np.argsort(-starts[fits] if back else starts[fits], kind="stable")].tolist():
            gil = self._rows.gil_of(lane)
            mine = self.lane_of(int(spans.thread[which[at]]), gil)
            found = self.at(mine, int(starts[at]))
            if found is not None and (found.start < ts if back else found.start > ts):
                return found
        return None

    def of_hold(self, hold: int) -> Interval:
        """A hold as an interval."""
        holds = self.trace.holds
        lane = self.lane_of(int(holds.thread[hold]), int(holds.gil[hold]))
        start, end = int(holds.start[hold]), int(holds.end[hold])
        step = self.steps.at(int(self._rows.steps_of[lane]), start)
        idle = step is not None and step.state is State.HELD_IDLE and step.ref == hold
        return Interval(lane, State.HELD_IDLE if idle else State.HOLDING, start, end, hold)

    def of_wait(self, wait: int) -> Interval:
        """A wait as an interval."""
        waits = self.trace.waits
        lane = self.lane_of(int(waits.thread[wait]), int(waits.gil[wait]))
        return Interval(lane, State.WAITING, int(waits.start[wait]), int(waits.end[wait]), wait)

    def lane_of(self, thread: int, gil: int) -> int:
        """The lane of a thread; a thread that has no dealings with this GIL has none."""
        return self._rows.lane_of(self.steps.lane(thread, gil))

    @property
    def handed(self) -> Bool:
        """Bool [holds]: it began with a hand-off."""
        return self._jumps.handed

    def waiting(self, interval: Interval) -> tuple[I8, I8]:
        """int64, int64: the lanes of an interval's group, and how long each waited during it."""
        lanes = self._rows.threads_in(gil_lane(self.lanes, interval.lane))
        edges = np.array([interval.start, interval.end])
        waited = self._pyramid.cells(self._rows.steps_of[lanes], edges)[:, 0, State.WAITING]
        return lanes, waited

    def first_wait(self, lane: int, interval: Interval) -> Interval | None:
        """The first wait of a lane that takes some of the time of an interval."""
        here = int(self._rows.steps_of[lane])
        first = self.steps.at(here, interval.start)
        if first is None or first.state is not State.WAITING:
            first = self.steps.search(
                here, interval.start - 1, back=False, wanted=lambda state, _: state == State.WAITING
            )
        return self._interval(lane, first)

    def waits_of(self, lane: int) -> I8:
        """int64: how long each wait in a lane was; in a GIL's, each of its threads'."""
        waits = self.trace.waits
        if self.lanes[lane].is_gil:
            which: slice | I4 = self.trace.waits_of(self._rows.gil_of(lane))
        else:
            here = int(self._rows.steps_of[lane])
            mine = slice(int(self.steps.bounds[here]), int(self.steps.bounds[here + 1]))
            which = self.steps.ref[mine][self.steps.state[mine] == State.WAITING]
        return waits.end[which] - waits.start[which]

    def steps_of(self, lane: int) -> int:
        """The lane of `steps`; -1 for a GIL's own."""
        return int(self._rows.steps_of[lane])

    def thread_of(self, lane: int) -> int:
        """The thread of a lane that is not a GIL's."""
        return int(self.steps.thread[self._rows.steps_of[lane]])

    def lane_of_thread(self, thread: int) -> int:
        """The first lane of a thread, or -1."""
        found = np.flatnonzero(self.steps.thread == thread)
        return self._rows.lane_of(int(found[0])) if len(found) else -1

    def _interval(self, lane: int, step: Step | None) -> Interval | None:
        if step is None:
            return None
        return Interval(lane, step.state, step.start, step.end, step.ref)


def _held(cells: I8) -> I8:
    """int64 [lanes, cells]: how long each thread held its GIL in each cell."""
    held: I8 = cells[:, :, State.HOLDING] + cells[:, :, State.HELD_IDLE]
    return held
