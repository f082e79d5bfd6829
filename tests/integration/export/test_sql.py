"""Exported files as PerfettoSQL sees them, through the trace processor of the Perfetto UI."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.registry import find_all
from giltrace.export import labels
from giltrace.export.registry import create
from giltrace.export.remarks import extras
from giltrace.model.builder import build, load
from giltrace.model.calls import OffKind
from giltrace.model.offgil import READING_INTERVAL_NS
from giltrace.model.tables import Spans
from giltrace.model.text import printable
from giltrace.model.trace import Trace
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline
from tests.support.trace_processor import Queries, missing, open_trace

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

STATES = {
    "('holds GIL')": "holds",
    "('waiting for GIL')": "waits",
    "('off GIL', 'switching')": "off_gil",
}


def exported(trace: Trace, name: str = "perfetto") -> bytes:
    """The file in one of the formats."""
    out = io.BytesIO()
    create(name).write(trace, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A server with and without a CPU-bound thread."""
    return build(synthetic(30_000, threads=5))


@pytest.fixture(scope="module", params=["perfetto", "chrome"])
def sql(request: pytest.FixtureRequest, trace: Trace) -> Iterator[Queries]:
    """That trace in both timeline formats."""
    with open_trace(exported(trace, request.param)) as queries:
        yield queries


def by_thread(trace: Trace, table: Spans) -> list[tuple[str, int, int, int, int]]:
    """Thread, count, sum, earliest start and latest end of the rows of a table."""
    thread: np.ndarray[tuple[int], np.dtype[np.int32]] = table.thread  # type: ignore[attr-defined]
    found = []
    for index in np.unique(thread).tolist():
        mine = thread == index
        start, end = table.start[mine], table.end[mine]
        found.append(
            (
                trace.threads[index].name,
                int(mine.sum()),
                int((end - start).sum()),
                int(start.min()),
                int(end.max()),
            )
        )
    return sorted(found)


@pytest.mark.parametrize("state", STATES)
def test_slices_of_each_thread_and_state(sql: Queries, trace: Trace, state: str) -> None:
    """Per thread, slices are as many and as long as the rows of the trace, at the same times."""
    expected = by_thread(trace, getattr(trace, STATES[state]))
    assert expected == sql.rows(
        f"""
        select thread.name, count(*), sum(dur), min(ts), max(ts + dur)
        from slice join thread_track on slice.track_id = thread_track.id join thread using (utid)
        where slice.name in {state} group by 1 order by 1
        """
    )


def test_nothing_is_nested_or_open(sql: Queries) -> None:
    """All slices are on one level, and each has its end."""
    assert sql.rows("select max(depth), min(dur) from slice") == [(0, 0)]


def test_nothing_is_lost(sql: Queries) -> None:
    """The engine has no complaint."""
    assert sql.problems() == []


def test_flows_join_each_release_to_the_next_acquire(sql: Queries, trace: Trace) -> None:
    """Every hand-off is one flow, from the slice that ends to the one that begins."""
    holds, handoffs = trace.holds, trace.handoffs
    expected = zip(
        holds.start[handoffs.release].tolist(),
        holds.end[handoffs.release].tolist(),
        holds.start[handoffs.acquire].tolist(),
        holds.end[handoffs.acquire].tolist(),
        strict=True,
    )
    assert sorted(expected) == sql.rows(
        """
        select a.ts, a.ts + a.dur, b.ts, b.ts + b.dur
        from flow join slice a on a.id = slice_out join slice b on b.id = slice_in
        where a.name = 'holds GIL' and b.name = 'holds GIL' order by 1, 3
        """
    )
    assert sql.value("select count(*) from flow") == len(handoffs)


def test_arguments(sql: Queries, trace: Trace) -> None:
    """Cause and place of a hold can be queried, and the holder that a wait is blamed on."""
    holds = trace.holds
    expected = [
        (int(start), trace.places[place].qualname, ("voluntary", "forced", "unknown")[cause - 1])
        for start, place, cause in zip(holds.start, holds.place, holds.cause, strict=True)
        if cause
    ]
    found = sql.rows(
        """
        select ts,
               coalesce(extract_arg(arg_set_id, 'debug.where'),
                        extract_arg(arg_set_id, 'args.where')),
               coalesce(extract_arg(arg_set_id, 'debug.cause'),
                        extract_arg(arg_set_id, 'args.cause'))
        from slice where name = 'holds GIL' order by 1
        """
    )
    assert (
        expected
        == [(start, where.rpartition(" in ")[2], cause) for start, where, cause in found][
            : len(expected)
        ]
    )
    blamed = sql.rows(
        """
        select coalesce(extract_arg(arg_set_id, 'debug.blame'),
                        extract_arg(arg_set_id, 'args.blame')) blamed, count(*)
        from slice where name = 'waiting for GIL' group by 1 order by 2 desc limit 1
        """
    )
    assert blamed[0][0] == "cpu 4242"


def test_the_holder_track_is_the_sum_of_all_holds(sql: Queries, trace: Trace) -> None:
    """The GIL's own row has one slice for each hold, named by its thread."""
    expected = Counter(trace.threads[thread].name for thread in trace.holds.thread.tolist())
    names = ", ".join(f"'{thread.name}'" for thread in trace.threads)
    assert dict(expected) == dict(
        sql.rows(f"select name, count(*) from slice where name in ({names}) group by 1")
    )


def test_counters(sql: Queries, trace: Trace) -> None:
    """The waiters end at none, and the utilisation averages to what the trace says."""
    [(last,)] = sql.rows(
        """
        select value from counter join track on counter.track_id = track.id
        where name glob 'GIL waiters*' order by ts desc, counter.id desc limit 1
        """
    )
    assert last == 0
    [(points, average)] = sql.rows(
        """
        select count(*), avg(value) from counter join track on counter.track_id = track.id
        where name glob 'GIL utilisation*'
        """
    )
    assert 100 <= points <= 2000
    utilisation = 100 * int(trace.holds.ns.sum()) / trace.gils[0].wall_ns
    assert abs(average - utilisation) < 2


def test_time_is_clock_monotonic() -> None:
    """Times of a machine that has been up for a year come through to the nanosecond."""
    start = 365 * 86_400 * 10**9 + 123_456_789
    recording = Recording()
    process = recording.process(100, start_ns=start)
    thread = process.thread("A")
    process.acquire(thread, start, 1)
    process.release(thread, start + 1)
    process.acquire(thread, start + 40 * 10**9, 2)
    process.release(thread, start + 40 * 10**9 + 7)
    with open_trace(exported(build(recording.capture()))) as queries:
        assert queries.rows("select ts, dur from slice where name = 'holds GIL' order by ts") == [
            (start, 1),
            (start + 40 * 10**9, 7),
        ]
        assert queries.problems() == []


def test_slices_of_no_length_survive() -> None:
    """Holds, waits and stretches off the GIL of 0 ns are there, back to back."""
    trace = timeline("A: hold 5-5ns wait 5-5ns hold 5-5ns wait 5-5ns hold 5-9ns hold 9-9ns")
    with open_trace(exported(trace)) as queries:
        found = queries.rows(
            """
            select slice.name, ts, dur from slice
            join thread_track on slice.track_id = thread_track.id order by slice.id
            """
        )
        assert found == [
            ("holds GIL", 5, 0),
            ("off GIL", 5, 0),
            ("waiting for GIL", 5, 0),
            ("holds GIL", 5, 0),
            ("off GIL", 5, 0),
            ("waiting for GIL", 5, 0),
            ("holds GIL", 5, 4),
            ("off GIL", 9, 0),
            ("holds GIL", 9, 0),
        ]
        assert queries.problems() == []


@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_hostile_names(name: str) -> None:
    """Threads keep apart and can be told apart whatever they are called."""
    recording = Recording()
    process = recording.process(100)
    for number, thread_name in enumerate(NAMES):
        thread = process.thread(thread_name)
        process.acquire(thread, 10 * number, number + 1)
        process.release(thread, 10 * number + 5, Spot(thread_name, 3, thread_name))
    trace = build(recording.capture())
    with open_trace(exported(trace, name)) as queries:
        assert queries.problems() == []
        found = queries.rows(
            """
            select tid, thread.name, ts, dur from slice
            join thread_track on slice.track_id = thread_track.id join thread using (utid)
            where slice.name = 'holds GIL' order by ts
            """
        )
    # Of JSON, this engine takes out escapes only in strings that have an escaped quote.
    left = "\\\\" if name == "chrome" else "\\"
    assert [(tid, text.replace(left, "\\"), ts, dur) for tid, text, ts, dur in found] == [
        (100 + number, printable(thread.name), 10 * number, 5)
        for number, thread in enumerate(trace.threads)
    ]


def test_groups_and_rows() -> None:
    """Each GIL has a group of its own with four tracks; a second GIL of a thread a second row."""
    trace = timeline(
        "process 100",
        "gil 1 interpreter=7",
        "A: hold 0-1ms hold 1-2ms gil=1",
        "B: wait 0.5-2ms request@0.75ms hold 2-5ms",
    )
    with open_trace(exported(trace)) as queries:
        groups = queries.rows(
            """
            select parent.name, track.name from track join track parent
            on track.parent_id = parent.id where parent.name glob 'GIL (*' order by 1, 2
            """
        )
        assert groups == [
            ("GIL (pid 100)", "GIL holder"),
            ("GIL (pid 100)", "GIL utilisation"),
            ("GIL (pid 100)", "GIL waiters"),
            ("GIL (pid 100)", "drop requests"),
            ("GIL (pid 100)", "findings"),
            ("GIL (pid 100, interpreter 7)", "GIL holder"),
            ("GIL (pid 100, interpreter 7)", "GIL utilisation"),
            ("GIL (pid 100, interpreter 7)", "findings"),
        ]
        rows = queries.rows(
            """
            select thread.name, thread_track.name, count(*) from slice
            join thread_track on slice.track_id = thread_track.id join thread using (utid)
            where slice.name = 'holds GIL' group by 1, 2 order by 1, 2
            """
        )
        assert rows == [
            ("A", None, 1),
            ("A", "A 100: GIL (pid 100, interpreter 7)", 1),
            ("B", None, 1),
        ]
        assert queries.rows("select pid, name from process where pid > 0") == [(100, "python")]
        assert queries.problems() == []


def test_notes_are_on_the_timeline() -> None:
    """What the reader has to be told can be seen in the viewer."""
    trace = timeline("process 100 lost=17", "A: hold 0-1ms")
    with open_trace(exported(trace)) as queries:
        assert queries.rows(
            """
            select slice.name from slice join track on slice.track_id = track.id
            where track.name = 'giltrace notes'
            """
        ) == [(note,) for note in trace.notes]


def test_a_file_that_was_cut_short_still_opens(trace: Trace) -> None:
    """Of a copy that broke off in its last block, the blocks before it are shown."""
    out = io.BytesIO()
    create("perfetto", level=0).write(trace, out)
    data = out.getvalue()
    with open_trace(data[: len(data) * 2 // 3]) as queries:
        shown = queries.value("select count(*) from slice where name = 'holds GIL'")
    assert len(trace.holds) // 3 < shown < len(trace.holds)


def test_states_can_be_compared_with_the_standard_library(sql: Queries, trace: Trace) -> None:
    """Modules of Perfetto's standard library work on our slices: waiters at one time."""
    [(most,)] = sql.rows(
        """
        include perfetto module intervals.overlap;
        select max(value) from intervals_overlap_count!(
            (select ts, dur from slice where name = 'waiting for GIL' and dur > 0), ts, dur)
        """
    )
    waits = trace.waits
    times = np.concatenate([waits.start, waits.end])
    change = np.concatenate([np.ones(len(waits), int), -np.ones(len(waits), int)])
    order = np.lexsort((change, times))
    assert most == int(np.cumsum(change[order]).max())


SAMPLE = Path(__file__).parents[3] / "sample_runs" / "blocking-1-spin.giltrace"


def slices_of(trace: Trace) -> int:
    """How many slices and instants a viewer is to show."""
    named = np.flatnonzero(trace.off_gil.call > 0)
    calls = int(np.count_nonzero(trace.off_gil.kind[named] != OffKind.SWITCH))
    tables = (trace.waits, trace.off_gil, trace.drop_requests, trace.spans)
    return 2 * len(trace.holds) + sum(map(len, tables)) + calls + len(extras(trace).remarks)


@pytest.mark.repo
@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_a_real_capture_is_complete(name: str) -> None:
    """Of a recorded server, all slices, flows, threads and counters are there, in both formats."""
    trace = load(SAMPLE)
    with open_trace(exported(trace, name)) as queries:
        assert queries.problems() == []
        assert queries.value("select count(*) from slice") == slices_of(trace)
        assert queries.value("select count(*) from flow") == len(trace.handoffs)
        shown = queries.rows(
            "select thread.name, sum(dur) from slice join thread_track t on track_id = t.id"
            " join thread using (utid) where slice.name = 'holds GIL' group by tid order by tid"
        )
        held = [int(trace.holds.ns[trace.holds.thread == t.index].sum()) for t in trace.threads]
        assert shown == [
            (thread.name, ns) for thread, ns in zip(trace.threads, held, strict=True) if ns
        ]
        sampled = queries.rows(
            "select count(*) from counter join track on track_id = track.id"
            " where track.name glob 'memory*'"
        )
        assert sampled == [(len(trace.samples),)]


@pytest.mark.repo
@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_cpu_time_of_slices(name: str) -> None:
    """The CPU time of long holds is in the column that the engine has for it."""
    trace = load(SAMPLE)
    long = trace.holds.ns >= READING_INTERVAL_NS
    idle = trace.running.not_running_ns
    known = np.flatnonzero(long & (idle >= 0))
    ran = int(np.maximum(trace.holds.ns[known] - idle[known], 0).sum())
    with open_trace(exported(trace, name)) as queries:
        assert queries.rows(
            "select count(*), sum(thread_dur) from slice"
            " where name = 'holds GIL' and thread_dur is not null"
        ) == [(len(known), ran)]


def test_what_is_said_in_words(trace: Trace) -> None:
    """Findings are slices whose arguments tell the evidence."""
    with open_trace(exported(trace)) as queries:
        [(name, waits)] = queries.rows(
            """
            select slice.name, extract_arg(slice.arg_set_id, 'debug.waits') from slice
            join track on track_id = track.id
            where track.name = 'findings' and slice.name glob 'convoy*'
            """
        )
    [convoy] = [finding for finding in find_all(trace) if finding.kind is Kind.CONVOY]
    assert waits == convoy.waits
    assert trace.threads[convoy.hogs[0].thread].name in name


@pytest.mark.repo
@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_kinds_and_calls_of_a_real_capture(name: str) -> None:
    """What threads did off the GIL is what the model says, in kind, call and time."""
    trace = load(SAMPLE)
    off = trace.off_gil
    expected: Counter[tuple[str | None, str | None]] = Counter()
    for kind, call, ns in zip(off.kind.tolist(), off.call.tolist(), off.ns.tolist(), strict=True):
        label = trace.calls[call].label if kind != OffKind.SWITCH else ""
        expected[labels.OFF_KINDS[kind] if kind else None, label or None] += ns
    with open_trace(exported(trace, name)) as queries:
        found = queries.rows("select kind, call, sum(dur) from gil_off group by 1, 2")
    assert {(kind, call): ns for kind, call, ns in found} == dict(expected)
