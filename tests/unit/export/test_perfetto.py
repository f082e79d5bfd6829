"""The Perfetto format, read back with protobuf."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from giltrace.capture.records import Sample
from giltrace.export.perfetto import PerfettoExporter
from giltrace.model.builder import build
from giltrace.model.tables import Waits
from giltrace.model.text import printable
from giltrace.model.trace import Trace
from tests.support import stories
from tests.support.hostile import NAMES
from tests.support.perfetto_file import BEGIN, COUNTER, END, INSTANT, PerfettoFile, parse
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline


def exported(trace: Trace, level: int = 6) -> PerfettoFile:
    """The file, parsed."""
    out = io.BytesIO()
    PerfettoExporter(level=level).write(trace, out)
    return parse(out.getvalue())


def rows(file: PerfettoFile, track: str) -> list[tuple[str, int, int, dict[str, int | str]]]:
    """The slices of the track of that name."""
    return [
        (slice_.name, slice_.start, slice_.end, slice_.args)
        for slice_ in file.slices()
        if file.track_name(slice_.track) == track
    ]


CONVOY = (
    "main: hold 0-7ms at spin.py:12 in spin check wait 7-8ms hold 8-9ms at spin.py:12 in spin",
    "io: wait 1-7ms request@6ms hold 7-8ms at server.py:41 in handle",
)


def test_states_of_a_thread() -> None:
    """One row for each thread, with where and why at the end of what it held."""
    file = exported(timeline(*CONVOY))
    assert rows(file, "main [100/100]") == [
        (
            "holds GIL",
            0,
            7_000_000,
            {"cause": "forced", "where": "spin.py:12 in spin"},
        ),
        (
            "switching",
            7_000_000,
            7_000_000,
            {"where": "spin.py:12 in spin", "kind": "switching"},
        ),
        (
            "waiting for GIL",
            7_000_000,
            8_000_000,
            {"blame": "io 101", "blame_where": "server.py:41 in handle", "requests": 0},
        ),
        (
            "holds GIL",
            8_000_000,
            9_000_000,
            {"cause": "voluntary", "where": "spin.py:12 in spin"},
        ),
    ]


def test_the_holder() -> None:
    """The GIL's own row shows its holders, coloured by name and id."""
    file = exported(timeline(*CONVOY))
    assert rows(file, "GIL (pid 100) > GIL holder") == [
        ("main", 0, 7_000_000, {}),
        ("io", 7_000_000, 8_000_000, {}),
        ("main", 8_000_000, 9_000_000, {}),
    ]
    colours = [event.correlation for event in file.events if event.correlation]
    assert colours == ["main 100", "io 101", "main 100"]


def test_arrows_go_from_release_to_acquire() -> None:
    """A flow starts where one thread lets go and ends where the next one acquires."""
    file = exported(timeline(*CONVOY))
    arrows = [
        (event.ts, event.kind, file.track_name(event.track), event.flows, event.ending_flows)
        for event in file.events
        if event.flows or event.ending_flows
    ]
    [flow] = {flow for *_, starts, ends in arrows for flow in (*starts, *ends)}
    assert arrows == [
        (7_000_000, END, "main [100/100]", (flow,), ()),
        (7_000_000, BEGIN, "io [100/101]", (), (flow,)),
        (8_000_000, END, "io [100/101]", (flow,), ()),
        (8_000_000, BEGIN, "main [100/100]", (), (flow,)),
    ]


def test_counters_and_requests() -> None:
    """Waiters are counted exactly, drop requests name both sides."""
    file = exported(timeline(*CONVOY))
    counted = [
        (event.ts, event.value)
        for event in file.events
        if file.track_name(event.track) == "GIL (pid 100) > GIL waiters"
    ]
    assert counted == [(1_000_000, 1), (7_000_000, 0), (7_000_000, 1), (8_000_000, 0)]
    [request] = [event for event in file.events if event.name == "drop request"]
    assert request.args == {"waiter": "io 101", "holder": "main 100"}
    assert file.track_name(request.track) == "GIL (pid 100) > drop requests"


def test_further_gils_have_groups_and_rows_of_their_own() -> None:
    """A thread that uses two GILs has a second row, below the first."""
    file = exported(timeline("gil 1 interpreter=5", "A: hold 0-1ms hold 1-2ms gil=1"))
    second = "A [100/100] > A 100: GIL (pid 100, interpreter 5)"
    assert [name for name, *_ in rows(file, "A [100/100]")] == ["holds GIL"]
    assert [name for name, *_ in rows(file, second)] == ["holds GIL"]
    assert rows(file, "GIL (pid 100, interpreter 5) > GIL holder") == [
        ("A", 1_000_000, 2_000_000, {})
    ]


def test_processes_of_one_id_do_not_share_a_group() -> None:
    """A program replaced by exec keeps its id, but its GIL is another one."""
    file = exported(timeline("process 7", "A: hold 0-1ms", "process 7", "B: hold 2-3ms"))
    groups = [name for name in map(file.track_name, file.tracks) if name.endswith("holder")]
    assert groups == ["GIL (pid 7) > GIL holder", "GIL (pid 7) #2 > GIL holder"]


def test_what_the_reader_has_to_be_told() -> None:
    """Notes are events at the beginning of a track of their own; losses are an attribute too."""
    trace = timeline("process 100 lost=17", "A: hold 0-1ms")
    file = exported(trace)
    notes = [
        (event.ts, event.name)
        for event in file.events
        if file.track_name(event.track) == "giltrace notes"
    ]
    assert notes == [(0, note) for note in trace.notes]
    assert file.attributes["dev.giltrace.lost_events"] == 17


def test_a_trace_without_events() -> None:
    """There is a file all the same, and it says what is the matter."""
    for trace in (build(Recording().capture()), timeline("process 100 end=2s")):
        file = exported(trace)
        assert [event.name for event in file.events] == list(trace.notes)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_shown(name: str) -> None:
    """Whatever a name is, the file can be read and shows it harmlessly."""
    recording = Recording()
    process = recording.process(100, argv=[name])
    thread = process.thread(name)
    process.acquire(thread, 1, 1)
    process.release(thread, 2, Spot(name, 3, name))
    trace = build(recording.capture())
    file = exported(trace)
    shown = printable(name or "thread 100")
    where = printable(str(trace.places[1]), 200)
    assert rows(file, f"{shown} [100/100]") == [
        ("holds GIL", 1, 2, {"cause": "voluntary", "where": where})
    ]


@pytest.mark.parametrize(("pid", "tid"), [(0, 0), (-1, -1), (1 << 80, 1 << 80)])
def test_impossible_ids(pid: int, tid: int) -> None:
    """Ids that no kernel gives do not stop the export."""
    recording = Recording()
    process = recording.process(pid)
    thread = process.thread("A", tid)
    process.wait(thread, 0, 1)
    process.acquire(thread, 1, 1)
    process.release(thread, 2)
    file = exported(build(recording.capture()))
    assert [s.name for s in file.slices()][1:] == ["waiting for GIL", "A", "holds GIL"]


def test_level_0_is_the_same_file_uncompressed() -> None:
    """Compression is an option that changes nothing else."""
    trace = timeline(*CONVOY)
    assert exported(trace, level=0) == exported(trace, level=9)


def test_large_trace_is_complete() -> None:
    """Over many batches, each hold, wait and stretch off the GIL is one slice with an end."""
    trace = build(synthetic(60_000))
    file = exported(trace)
    count = Counter(slice_.name for slice_ in file.slices())
    assert file.open_slices == 0
    assert count["holds GIL"] == len(trace.holds)
    assert count["waiting for GIL"] == len(trace.waits)
    assert count["off GIL"] + count["switching"] == len(trace.off_gil)
    assert sum(len(event.flows) for event in file.events) == len(trace.handoffs)


def test_off_the_gil_slices_name_the_call() -> None:
    """Nested in `off GIL` is the call, with its source text; its end says what kind it was."""
    file = exported(
        timeline(
            "A: hold 0-1ms at a.py:1 in f call=_socket.socket.recv",
            "A: hold 9-10ms at a.py:2 in f check",
            "A: wait 10-12ms hold 12-13ms at a.py:2 in f",
            "B: hold 10-12ms",
        )
    )
    assert [
        (s.depth, s.name, s.start, s.end, s.args)
        for s in sorted(file.slices(), key=lambda s: (s.start, s.depth))
        if file.track_name(s.track) == "A [100/100]" and "GIL" not in s.name.replace("off", "")
    ] == [
        (
            1,
            "socket.recv",
            1_000_000,
            9_000_000,
            {"where": "a.py:1 in f", "call": "socket.recv"},
        ),
    ]
    off = next(s for s in file.slices() if s.name == "off GIL")
    assert off.args == {"kind": "blocked"}


def test_cpu_time_of_long_slices() -> None:
    """Where a thread's clock was read, slices say how long of them it ran."""
    file = exported(
        timeline(
            "A: hold 0-1ms at a.py:1 in f cpu=0-600us",
            "A: hold 2-3ms at a.py:1 in f cpu=1500us-2500us",
        )
    )
    clock = next(uuid for uuid in file.tracks if file.track_name(uuid).endswith("thread_time"))
    assert file.track_name(clock) == "A [100/100] > thread_time"
    assert [(s.name, s.cpu_ns) for s in file.slices() if s.cpu_ns is not None] == [
        ("holds GIL", 600_000),
        ("off GIL", 900_000),
        ("holds GIL", 1_000_000),
    ]


def test_function_spans_nest_on_a_track_of_their_own() -> None:
    """Outer functions are around inner ones, also where they begin and end at one time."""
    file = exported(
        timeline(
            "A: hold 0-1ms span 0-4ms depth=2 at a.py:5 in inner",
            "A: span 4-9ms depth=2 at a.py:7 in again span 0-9ms at a.py:1 in outer",
        )
    )
    track = "A [100/100] > A: functions"
    found = [s for s in file.slices() if file.track_name(s.track) == track]
    assert sorted((s.depth, s.name, s.start, s.end, s.args) for s in found) == [
        (0, "outer", 0, 9_000_000, {"where": "a.py:1 in outer"}),
        (1, "again", 4_000_000, 9_000_000, {"where": "a.py:7 in again"}),
        (1, "inner", 0, 4_000_000, {"where": "a.py:5 in inner"}),
    ]


def test_samples_are_counters_of_the_process() -> None:
    """What the kernel said in samples: levels as they are, totals as rates."""
    recording = Recording()
    process = recording.process(100)
    thread = process.thread("A")
    process.acquire(thread, 0, 1)
    process.release(thread, 10**9)
    half = 5 * 10**8
    samples = [Sample(0, n * half, 64 << 20, 2, n * 10**8, 0, 7 * n, n, []) for n in range(3)]
    file = exported(build(replace(recording.capture(), samples=samples)))
    points: dict[str, list[tuple[int, float | None]]] = {}
    for event in file.events:
        name = file.track_name(event.track)
        if event.kind == COUNTER and name.startswith("python [100] > "):
            points.setdefault(name.partition(" > ")[2], []).append((event.ts, event.value))
    assert points == {
        "memory (RSS)": [(0, 64), (half, 64), (2 * half, 64)],
        "threads": [(0, 2), (half, 2), (2 * half, 2)],
        "CPU": [(0, 20), (half, 20), (2 * half, 0)],
        "context switches, voluntary": [(0, 14), (half, 14), (2 * half, 0)],
        "context switches, involuntary": [(0, 2), (half, 2), (2 * half, 0)],
    }


def test_findings_are_explained_in_the_trace() -> None:
    """A convoy has a slice over its time that says in words who lost how much to whom."""
    file = exported(timeline(stories.convoy(40)))
    found = [s for s in file.slices() if file.track_name(s.track).endswith("> findings")]
    convoy = next(s for s in found if s.name.startswith("convoy: "))
    assert convoy.name == "convoy: MainThread lost 195 ms to Thread-1, 5 ms at a time"
    assert convoy.args["victim_1"] == "MainThread: 39 waits, 195 ms"
    assert str(convoy.args["holder_1"]).startswith("Thread-1: 195 ms, most at load.py:12 in spin")
    assert (convoy.start, convoy.end) == (11_000_000, 396_000_000)


def test_lost_events_are_marked() -> None:
    """Where events of a thread are missing, the GIL's group says so at that time."""
    file = exported(timeline("A: hold 0-1ms lost 3 hold 4-5ms"))
    [mark] = [e for e in file.events if file.track_name(e.track).endswith("> lost events")]
    assert (mark.ts, mark.kind, mark.args) == (1_000_000, INSTANT, {"thread": "A 100"})


def test_callers_are_an_argument() -> None:
    """Where stacks were recorded, the hold names the callers, the innermost first."""
    file = exported(timeline("A: hold 0-1ms at a.py:1 in f from b.py:2 in g from c.py:3 in h"))
    [hold] = [s for s in file.slices() if s.name == "holds GIL"]
    assert hold.args["stack"] == "b.py:2 in g < c.py:3 in h"


def test_waits_without_a_length_that_meet() -> None:
    """Of damage: several begin where others end, and still no more wait than there are threads."""
    trace = timeline("a: hold 0-1ms wait 2-4ms hold 4-5ms")
    at = np.array([2, 4, 4, 4]) * 1_000_000
    waits = Waits(
        np.zeros(4, np.int32),
        np.zeros(4, np.int32),
        start=at,
        end=np.maximum(at, 4_000_000),
        hold=np.array([1, -1, -1, -1]),
        requests=np.zeros(4, np.int32),
    )
    file = exported(replace(trace, waits=waits))
    counted = [
        event.value
        for event in file.events
        if file.track_name(event.track) == "GIL (pid 100) > GIL waiters"
    ]
    assert 1 in counted
    assert set(counted) <= {0, 1}
