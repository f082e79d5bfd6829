"""Whatever legal things threads do with GILs, the trace shows just that."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.analysis.blame import blame, table, worst_waits
from giltrace.analysis.summary import summarise
from giltrace.model import Cause, Trace, build, check
from tests.support.recording import Recording
from tests.support.schedules import Hold, Schedule, Wait, schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=100)

Schedules = tuple[Recording, list[Schedule]]


@st.composite
def schedules(draw: st.DrawFn) -> Schedules:
    """Recordings of one or two processes with up to three GILs and five threads each."""
    recording = Recording()
    made = [
        schedule(
            recording,
            draw(st.lists(st.integers(0, 1 << 16), max_size=60)),
            threads=draw(st.integers(1, 5)),
            gils=draw(st.integers(1, 3)),
            start=draw(st.sampled_from(["free", "synthetic", "unseen"])),
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    return recording, made


def shown_holds(trace: Trace, process: int) -> list[Hold]:
    """The holds of one process as the schedule would put it."""
    rows = zip(*(column.tolist() for column in trace.holds.columns().values()), strict=True)
    return [
        Hold(
            trace.gils[gil].number,
            trace.threads[thread].number,
            start,
            end,
            tenure,
            str(trace.places[place]),
            Cause(cause),
        )
        for gil, thread, start, end, tenure, place, cause, *_ in rows
        if trace.gils[gil].process == process
    ]


def shown_waits(trace: Trace, process: int) -> list[Wait]:
    """The waits of one process as the schedule would put it."""
    rows = zip(*(column.tolist() for column in trace.waits.columns().values()), strict=True)
    return [
        Wait(
            trace.gils[gil].number,
            trace.threads[thread].number,
            start,
            end,
            int(trace.holds.tenure[hold]) if hold >= 0 else None,
            requests,
        )
        for gil, thread, start, end, hold, requests in rows
        if trace.gils[gil].process == process
    ]


@CHECKED
@given(schedules())
def test_holds_and_waits_are_reproduced_exactly(made: Schedules) -> None:
    """Every hold, with its cause and place, and every wait, with its requests, and no others."""
    recording, processes = made
    trace = build(recording.capture())
    for index, expected in enumerate(processes):
        assert sorted(expected.holds) == sorted(shown_holds(trace, index))
        assert sorted(expected.waits, key=repr) == sorted(shown_waits(trace, index), key=repr)


@CHECKED
@given(schedules())
def test_invariants(made: Schedules) -> None:
    """No invariant is broken, and there is nothing to tell the reader."""
    trace = build(made[0].capture())
    assert check(trace) == []
    quiet = [note for note in trace.notes if "No GIL event" not in note]
    assert quiet == ["The recorder has not finished: it died, or it is still recording."]


@CHECKED
@given(schedules())
def test_handoffs_are_counted(made: Schedules) -> None:
    """As many hand-offs as the GILs changed hands, each from one thread to another."""
    trace = build(made[0].capture())
    handoffs, holds = trace.handoffs, trace.holds
    assert sum(one.handoffs for one in made[1]) == len(handoffs)
    assert (holds.thread[handoffs.release] != holds.thread[handoffs.acquire]).all()
    assert (handoffs.latency >= 0).all()
    assert len(handoffs) == sum(gil.handoffs for gil in summarise(trace).gils)


@CHECKED
@given(schedules())
def test_blame_adds_up_to_the_waits(made: Schedules) -> None:
    """The parts of each wait add up to it exactly, each on a hold of another thread during it."""
    trace = build(made[0].capture())
    parts, waits, holds = blame(trace), trace.waits, trace.holds
    sums = np.zeros(len(waits), np.int64)
    np.add.at(sums, parts.wait, parts.ns)
    assert waits.ns.tolist() == sums.tolist()
    assert (parts.ns > 0).all()
    real = parts.hold >= 0
    wait, hold, ns = parts.wait[real], parts.hold[real], parts.ns[real]
    assert (waits.thread[wait] != holds.thread[hold]).all()
    assert (waits.gil[wait] == holds.gil[hold]).all()
    both = np.minimum(waits.end[wait], holds.end[hold]) - np.maximum(
        waits.start[wait], holds.start[hold]
    )
    assert both.tolist() == ns.tolist()


@CHECKED
@given(schedules())
def test_the_table_is_the_sum_of_the_blame(made: Schedules) -> None:
    """Rows of the table say what the parts of all waits say together, waits counted once."""
    trace = build(made[0].capture())
    expected: dict[tuple[int, int | None, int], tuple[int, set[int]]] = {}
    parts = blame(trace)
    for wait, hold, ns in zip(*(c.tolist() for c in parts.columns().values()), strict=True):
        holder = int(trace.holds.thread[hold]) if hold >= 0 else None
        place = int(trace.holds.place[hold]) if hold >= 0 else 0
        key = int(trace.waits.thread[wait]), holder, place
        known, which = expected.get(key, (0, set()))
        expected[key] = known + ns, which | {wait}
    rows = table(trace)
    shown = {(row.waiter, row.holder, row.place): (row.wait_ns, row.waits) for row in rows}
    assert {key: (ns, len(which)) for key, (ns, which) in expected.items()} == shown
    assert len(rows) == len(shown)
    assert sorted((row.wait_ns for row in rows), reverse=True) == [row.wait_ns for row in rows]


@CHECKED
@given(schedules(), st.integers(0, 10), st.integers(0, 3))
def test_worst_waits(made: Schedules, n: int, parts: int) -> None:
    """The longest ones come first, and what is listed and what is not add up."""
    trace = build(made[0].capture())
    worst = worst_waits(trace, n, parts=parts)
    assert sorted(trace.waits.ns.tolist(), reverse=True)[:n] == [one.ns for one in worst]
    for one in worst:
        assert one.ns == sum(part.ns for part in one.parts) + one.rest_ns
        assert len(one.parts) <= parts
        assert one.rest_ns == 0 or len(one.parts) == parts


@CHECKED
@given(schedules())
def test_summary_agrees_with_the_columns(made: Schedules) -> None:
    """Sums over threads are sums over GILs, and both are those of holds, waits and stretches."""
    trace = build(made[0].capture())
    summary = summarise(trace)
    assert sum(gil.held_ns for gil in summary.gils) == int(trace.holds.ns.sum())
    assert sum(gil.wait_ns for gil in summary.gils) == int(trace.waits.ns.sum())
    assert sum(one.hold_ns for one in summary.threads) == int(trace.holds.ns.sum())
    assert sum(one.off_gil_ns for one in summary.threads) == int(trace.off_gil.ns.sum())
    for one in summary.threads:
        mine = np.sort(trace.waits.ns[trace.waits.thread == one.thread])
        assert one.waits == len(mine)
        if len(mine):
            median = np.quantile(mine, 0.5, method="inverted_cdf")
            assert (one.wait_p50_ns, one.wait_max_ns) == (median, mine[-1])
            assert int((mine > one.wait_p99_ns).sum()) * 100 <= len(mine)
    for gil in summary.gils:
        assert 0 <= gil.utilisation <= 1
        assert 0 <= gil.contention <= 1
        assert gil.releases == gil.forced + gil.voluntary + gil.unknown


@CHECKED
@given(schedules())
def test_a_thread_is_in_one_state_at_a_time(made: Schedules) -> None:
    """Holds, waits and stretches off the GIL follow one another without overlap or gap."""
    trace = build(made[0].capture())
    spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for rows in (trace.holds, trace.waits, trace.off_gil):
        columns = (rows.thread, rows.gil, rows.start, rows.end)
        for thread, gil, start, end in zip(*(c.tolist() for c in columns), strict=True):
            spans.setdefault((thread, gil), []).append((start, end))
    for some in spans.values():
        some.sort()
        assert [end for _, end in some[:-1]] == [start for start, _ in some[1:]]


@CHECKED
@given(schedules())
def test_file_order_across_threads_does_not_matter(made: Schedules) -> None:
    """A recorder that drains the threads one after the other makes the same trace."""
    recording = made[0]
    plain = build(recording.capture())
    for process in recording.processes:
        process.events.sort(key=lambda event: event[0])
    drained = build(recording.capture())
    for name in ("holds", "waits", "drop_requests"):
        before, after = getattr(plain, name).columns(), getattr(drained, name).columns()
        for column in set(before) - {"place"}:
            assert before[column].tolist() == after[column].tolist(), (name, column)
