"""Whatever a recording holds, exported timelines say what the trace says."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from giltrace.capture.events import FLAG_AT_CHECK, FLAG_SYNTHETIC, Kind
from giltrace.export import points
from giltrace.export.chrome import ChromeExporter
from giltrace.export.csv import CsvExporter
from giltrace.export.perfetto import PerfettoExporter
from giltrace.export.points import _tour
from giltrace.model.builder import build
from giltrace.model.invariants import check
from giltrace.model.tables import Spans
from giltrace.model.trace import Trace
from tests.support.perfetto_file import parse
from tests.support.recording import Recording

# Few nanoseconds and few threads: most things happen at once, or take no time at all.
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # thread
        st.sampled_from([Kind.ACQUIRE, Kind.RELEASE, Kind.WAIT, Kind.DROP_REQUEST, Kind.LOST]),
        st.integers(0, 2),  # ns since the event before
        st.integers(0, 6),  # tenure or place
        st.sampled_from([0, 0, 0, FLAG_SYNTHETIC, FLAG_AT_CHECK]),
        st.sampled_from([0, 0, 0, 1]),  # GIL
    ),
    max_size=40,
)


@st.composite
def damaged(draw: st.DrawFn) -> Trace:
    """A trace of events that need not make sense."""
    recording = Recording()
    process = recording.process(100)
    for name in "ABC":
        process.thread(name)
    now = 0
    for thread, kind, step, payload, flags, gil in draw(EVENTS):
        now += step
        process.event(kind, thread, now, payload, flags=flags, gil=gil)
    trace = build(recording.capture())
    assume(not check(trace) and takes_turns(trace))
    return trace


def takes_turns(trace: Trace) -> bool:
    """Whether every thread does one thing at a time; tenures out of order can prevent that."""
    lanes: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for table in (trace.holds, trace.waits, trace.off_gil):
        for (thread, gil, start, end), count in spans(trace, table).items():
            lanes.setdefault((thread, gil), []).extend([(start, end)] * count)
    return all(
        before[1] <= after[0] for lane in lanes.values() for before, after in pairwise(sorted(lane))
    )


@st.composite
def sound(draw: st.DrawFn) -> Trace:
    """A trace as it could really be: every thread takes turns, with or without a wait."""
    recording = Recording()
    process = recording.process(100)
    threads = [process.thread(name) for name in "ABC"]
    free_since = dict.fromkeys(threads, 0)
    now = 0
    turns = draw(
        st.lists(
            st.tuples(
                st.sampled_from(threads),
                st.integers(0, 2),
                st.integers(0, 2),
                st.one_of(st.none(), st.integers(0, 3)),
            ),
            max_size=25,
        )
    )
    for tenure, (thread, idle, length, waited) in enumerate(turns, 1):
        now += idle
        if waited is not None:
            process.wait(thread, max(free_since[thread], now - waited), tenure - 1)
        process.acquire(thread, now, tenure)
        now += length
        process.release(thread, now)
        free_since[thread] = now
    for thread in draw(st.sets(st.sampled_from(threads))):
        process.wait(thread, now, len(turns))
    return build(recording.capture())


TRACES = st.one_of(damaged(), sound())


def spans(trace: Trace, table: Spans) -> Counter[tuple[str, int, int, int]]:
    """How often each stretch occurs: thread, GIL, start, end."""
    return Counter(
        (trace.threads[thread].name, gil, start, end)
        for thread, gil, start, end in zip(
            *(getattr(table, name).tolist() for name in ("thread", "gil", "start", "end")),
            strict=True,
        )
    )


def perfetto_spans(trace: Trace) -> dict[str, Counter[tuple[str, int, int, int]]]:
    """The same by state, from an exported Perfetto file."""
    out = io.BytesIO()
    PerfettoExporter(level=0).write(trace, out)
    file = parse(out.getvalue())
    numbers = {gil.number: gil.index for gil in trace.gils}
    first = {
        thread.name: min(
            gil
            for table in (trace.holds, trace.waits)
            for gil, owner in zip(table.gil.tolist(), table.thread.tolist(), strict=True)
            if owner == thread.index
        )
        for thread in trace.threads
        if thread.index in {*trace.holds.thread.tolist(), *trace.waits.thread.tolist()}
    }
    found: dict[str, Counter[tuple[str, int, int, int]]] = {}
    for slice_ in file.slices():
        thread, _, gil = file.track_name(slice_.track).partition(": GIL (pid 100")
        name = thread.split(" [")[0]
        if gil:
            index = numbers[0 if gil == ")" else int(gil.split()[-1].rstrip(")"))]
        else:
            index = first.get(name, -1)
        states = found.setdefault(slice_.name, Counter())
        states[name, index, slice_.start, slice_.end] += 1
    assert file.open_slices == 0
    return found


@given(TRACES)
def test_perfetto_slices_are_the_rows_of_the_trace(trace: Trace) -> None:
    """Matched as viewers do, slices are exactly the holds, waits and stretches off the GIL."""
    found = perfetto_spans(trace)
    assert found.get("holds GIL", Counter()) == spans(trace, trace.holds)
    assert found.get("waiting for GIL", Counter()) == spans(trace, trace.waits)
    off = found.get("off GIL", Counter()) + found.get("switching", Counter())
    assert off == spans(trace, trace.off_gil)


@given(TRACES)
def test_each_arrow_joins_a_release_to_the_next_acquire(trace: Trace) -> None:
    """Flows begin and end in turns, once for each hand-off."""
    out = io.BytesIO()
    PerfettoExporter(level=0).write(trace, out)
    open_flows: dict[int, int] = {}
    found = []
    for event in parse(out.getvalue()).events:
        for flow in event.flows:
            assert flow not in open_flows
            open_flows[flow] = event.ts
        found += [(open_flows.pop(flow), event.ts) for flow in event.ending_flows]
    assert not open_flows
    expected = zip(
        trace.holds.end[trace.handoffs.release].tolist(),
        trace.holds.start[trace.handoffs.acquire].tolist(),
        strict=True,
    )
    assert sorted(expected) == sorted(found)


@given(TRACES)
def test_chrome_is_valid_and_nests(trace: Trace) -> None:
    """Each end follows the begin that it belongs to, and the states add up."""
    out = io.BytesIO()
    ChromeExporter().write(trace, out)
    events: list[dict[str, Any]] = json.loads(out.getvalue(), parse_float=str)
    begins: defaultdict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    found: Counter[str] = Counter()
    for event in events:
        if event["ph"] == "B":
            begins[event["pid"], event["tid"]].append((event["name"], event["ts"]))
        if event["ph"] == "E":
            name, ts = begins[event["pid"], event["tid"]].pop()
            found[name] += ns(event["ts"]) - ns(ts)
    assert not any(begins.values())
    found["off GIL"] += found.pop("switching", 0)
    for name, table in (
        ("holds GIL", trace.holds),
        ("waiting for GIL", trace.waits),
        ("off GIL", trace.off_gil),
    ):
        assert found[name] == int(table.ns.sum())


def ns(text: str) -> int:
    """Microseconds with three decimals as nanoseconds."""
    return int(text.replace(".", ""))


@given(TRACES)
def test_csv_keeps_the_order_of_tenures(trace: Trace) -> None:
    """Per GIL acquires and releases take turns, in the order of the holds."""
    out = io.BytesIO()
    CsvExporter().write(trace, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
    times = [int(row["ts_ns"]) for row in rows]
    assert times == sorted(times)
    for gil in trace.gils:
        mine = trace.holds_of(gil.index)
        expected = []
        for thread, start, end in zip(
            *(getattr(trace.holds, name)[mine].tolist() for name in ("thread", "start", "end")),
            strict=True,
        ):
            name = trace.threads[thread].name
            expected += [(name, "acquire", start), (name, "release", end)]
        assert expected == [
            (row["thread"], row["event"], int(row["ts_ns"]))
            for row in rows
            if row["gil"] == str(gil.number) and row["event"] in ("acquire", "release")
        ]


@given(TRACES, st.integers(1, 5))
def test_batches_are_invisible(trace: Trace, step: int) -> None:
    """However small the batches are, what comes out is the same."""
    outputs = []
    for size in (step, 1 << 13):
        batches = points.walk([*points.turns(trace), *points.utilisation(trace)], step=size)
        outputs.append(
            [
                row
                for batch in batches
                for row in zip(
                    *(getattr(batch, name).tolist() for name in ("ts", "kind", "ref", "value")),
                    strict=True,
                )
            ]
        )
    assert outputs[0] == outputs[1]


@st.composite
def nested(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Spans that nest, by start and then the longest first; many begin or end at one time."""
    spans: list[tuple[int, int]] = []

    def fill(start: int, end: int, depth: int) -> None:
        at = start
        for _ in range(draw(st.integers(0, 3))):
            first = draw(st.integers(at, end))
            last = draw(st.integers(first, end))
            spans.append((first, last))
            if depth:
                fill(first, last, depth - 1)
            at = last

    fill(0, 6, 2)
    return sorted(spans, key=lambda span: (span[0], -span[1]))


@given(nested())
def test_functions_begin_and_end_as_brackets(spans: list[tuple[int, int]]) -> None:
    """In the order of points each end belongs to the innermost open span, at its own time."""
    start = np.array([first for first, _ in spans], np.int64)
    end = np.array([last for _, last in spans], np.int64)
    opened: list[int] = []
    now = 0
    for span, leaves in zip(*(column.tolist() for column in _tour(start, end)), strict=True):
        assert now <= (now := spans[span][leaves])
        if not leaves:
            opened.append(span)
            continue
        inner = opened.pop()
        assert spans[inner] == spans[span]
    assert not opened
