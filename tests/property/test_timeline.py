"""The steps of lanes and their sums, for any legal schedule, whole and damaged."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.analysis.findings.convoy import stalls
from giltrace.analysis.findings.scene import Scene
from giltrace.analysis.timeline.pyramid import Pyramid
from giltrace.analysis.timeline.state import OF_KIND, STATES, State
from giltrace.analysis.timeline.steps import Steps, steps
from giltrace.model import Cause, Trace, build
from giltrace.model.tables import I8
from giltrace.tui.source import Interval, Jump
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.ink import PLAIN
from giltrace.tui.view.paint import thread_lane
from tests.support.layers import add_calls, add_clocks
from tests.support.recording import Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=80)
ALL = 1 << 62


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Schedules of several processes and GILs, with calls and CPU readings; some events lost."""
    recording = Recording()
    for _ in range(draw(st.integers(1, 2))):
        made = schedule(
            recording,
            draw(st.lists(st.integers(0, 1 << 16), max_size=30)) * draw(st.integers(1, 20)),
            threads=draw(st.integers(1, 5)),
            gils=draw(st.integers(1, 2)),
            start=draw(st.sampled_from(["free", "synthetic", "unseen"])),
        )
        numbers = draw(st.lists(st.integers(0, 1 << 16), max_size=20))
        add_calls(made.process, numbers)
        add_clocks(made.process, numbers)
        if draw(st.booleans()):
            made.process.lost_events = draw(st.integers(1, 100))
            for number in draw(st.lists(st.integers(0, 1 << 16), max_size=5)):
                if made.process.events:
                    del made.process.events[number % len(made.process.events)]
    return build(recording.capture())


@CHECKED
@given(traces())
def test_sums_are_those_of_the_tables(trace: Trace) -> None:
    """Over all of a recording each lane was in each state for as long as the tables say."""
    found = steps(trace)
    sums = Pyramid(found).cells(range(len(found)), np.array([0, ALL]))[:, 0]
    for lane in range(len(found)):
        thread, gil = int(found.thread[lane]), int(found.gil[lane])
        held = sums[lane, State.HOLDING] + sums[lane, State.HELD_IDLE]
        holds, waits, off = trace.holds, trace.waits, trace.off_gil
        assert held == holds.ns[(holds.thread == thread) & (holds.gil == gil)].sum()
        waited = waits.ns[(waits.thread == thread) & (waits.gil == gil)].sum()
        assert sums[lane, State.WAITING] == waited
        mine = (off.thread == thread) & (off.gil == gil)
        for state in State:
            if state.is_off:
                expected = off.ns[mine & (OF_KIND[off.kind] == state)].sum()
                assert sums[lane, state] == expected


@CHECKED
@given(traces(), st.lists(st.integers(0, 1 << 16), min_size=2, max_size=40))
def test_cells_are_sums_of_steps(trace: Trace, numbers: list[int]) -> None:
    """However edges lie, a cell has what the steps have in it, to the nanosecond."""
    found = steps(trace)
    last = max([1, *found.start.tolist()]) + 1
    edges = np.sort(np.array([number * last >> 16 for number in numbers]))
    lanes = np.arange(len(found))[::-1]
    cells = Pyramid(found).cells(lanes, edges)
    for row, lane in enumerate(lanes.tolist()):
        assert (cells[row] == _step_by_step(found, lane, edges)).all()


def _step_by_step(found: Steps, lane: int, edges: I8) -> I8:
    cells = np.zeros((len(edges) - 1, STATES), np.int64)
    for step in found.between(lane, 0, ALL, ALL) or ():
        inside = np.minimum(edges[1:], step.end) - np.maximum(edges[:-1], step.start)
        cells[:, step.state] += np.maximum(inside, 0)
    return cells


@CHECKED
@given(traces(), st.integers(1, 120), st.integers(1, 2), st.booleans())
def test_no_wait_vanishes(trace: Trace, width: int, rows: int, colours: bool) -> None:
    """A cell with any waiting in it shows it, and one without does not."""
    found = steps(trace)
    last = max([1, *found.start.tolist()]) + 1
    edges = np.arange(width + 1) * last // width
    for cells in Pyramid(found).cells(range(len(found)), edges):
        picture = thread_lane(cells, np.diff(edges), rows, colours=colours)
        if colours:
            bottom = np.where(picture.ink[-1] == PLAIN, picture.paper[-1], picture.ink[-1])
            shown = bottom == State.WAITING
        else:
            shown = (picture.char[-1] == ord("x")) | (picture.char[-1] == ord("X"))
        assert (shown == (cells[:, State.WAITING] > 0)).all()


@CHECKED
@given(traces(), st.integers(0, 1 << 16))
def test_a_step_is_found_where_it_is(trace: Trace, number: int) -> None:
    """What is at a time is the step around it, and going on from it misses no step."""
    found = steps(trace)
    for lane in range(len(found)):
        all_steps = found.between(lane, 0, ALL, ALL) or []
        ts = number * (max(found.start.tolist()) + 1) >> 16
        expected = [step for step in all_steps if step.start <= ts < step.end]
        at = found.at(lane, ts)
        assert ([at] if at is not None else []) == expected
        walked, since = [], -1
        while (
            step := found.search(lane, since, back=False, wanted=lambda state, _: state > 0)
        ) is not None:
            walked.append(step.start)
            since = step.start
        here = slice(int(found.bounds[lane]), int(found.bounds[lane + 1]))
        begun = found.start[here][found.state[here] > 0]
        assert walked == np.unique(begun).tolist()


@CHECKED
@given(traces(), st.integers(1, 60))
def test_holders_are_those_of_the_holds(trace: Trace, width: int) -> None:
    """A GIL was held in each cell for as long as its holds say, by one thread for the longest."""
    source = TraceSource(trace)
    last = max([1, *trace.holds.end.tolist()]) + 1
    edges = np.arange(width + 1) * last // width
    for lane in source.lanes:
        if not lane.is_gil:
            continue
        held = np.zeros(width, np.int64)
        by_thread: dict[int, I8] = {}
        for one in source.between(lane.index, 0, ALL, ALL) or ():
            inside = np.minimum(edges[1:], one.end) - np.maximum(edges[:-1], one.start)
            held += np.maximum(inside, 0)
            by_thread.setdefault(one.lane, np.zeros(width, np.int64))
            by_thread[one.lane] += np.maximum(inside, 0)
        found = source.holders(lane.index, edges)
        assert found.held_ns.tolist() == held.tolist()
        for cell, (who, ns) in enumerate(zip(found.lane, found.longest_ns, strict=True)):
            assert ns == max([0, *(times[cell] for times in by_thread.values())])
            assert by_thread[int(who)][cell] == ns if ns else who == -1


@CHECKED
@given(traces(), st.sampled_from([Jump.WAIT, Jump.HANDOFF, Jump.FORCED, Jump.STALL]))
def test_jumps_miss_nothing(trace: Trace, jump: Jump) -> None:
    """Going on from the beginning in the GIL's lane finds every one of a kind, and so does back."""
    source = TraceSource(trace)
    for lane in source.lanes:
        if not lane.is_gil:
            continue
        wanted = _all_of(trace, source, jump, lane.index)
        assert _walk(source, jump, lane.index, -1, back=False) == wanted
        assert _walk(source, jump, lane.index, ALL, back=True) == wanted[::-1]


def _walk(source: TraceSource, jump: Jump, lane: int, start: int, *, back: bool) -> list[int]:
    found: list[int] = []
    origin: Interval | int = start
    while (one := source.find(jump, lane, origin, back)) is not None:
        found.append(one.ref)
        origin = one
    return found


def _all_of(trace: Trace, source: TraceSource, jump: Jump, lane: int) -> list[int]:
    """Indices of the waits or holds of a GIL that are of a kind."""
    threads = [one for one in source.lanes[lane + 1 :] if one.group == source.lanes[lane].group]
    gil = int(source.steps.gil[source.steps_of(threads[0].index)])
    holds, waits = trace.holds_of(gil), trace.waits_of(gil)
    if jump is Jump.WAIT:
        ns = waits.start + np.flatnonzero(trace.waits.ns[waits] > 0)
        return [int(one) for one in ns]
    if jump is Jump.HANDOFF:
        return [int(one) for one in trace.handoffs.acquire if holds.start <= one < holds.stop]
    if jump is Jump.FORCED:
        forced = np.flatnonzero(trace.holds.cause[holds] == Cause.FORCED)
        return [int(one) for one in holds.start + forced]
    if not len(trace.holds):
        return []
    scene = Scene(trace, trace.gils[gil])
    free = np.ones(waits.stop - waits.start, np.bool_)
    return [waits.start + int(one) for one in stalls(scene, free)] if len(free) else []
