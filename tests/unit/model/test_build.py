"""From events to holds, waits and drop requests, when nothing is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

import giltrace
from giltrace.capture.records import (
    End,
    GilInfo,
    Sample,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)
from giltrace.model import Cause, Trace, build, check, load
from giltrace.model.tables import Columns
from tests.support.recording import Recording
from tests.support.timeline import capture, recording, timeline, write_capture

MS = 1_000_000

CONVOY = """
    main: hold 0-7ms at spin.py:12 check
    io:   wait 1-7ms request@6ms hold 7-8ms at server.py:41 in handle
"""


def rows(table: Columns, *names: str) -> list[tuple[object, ...]]:
    """The rows of some columns."""
    columns = table.columns()
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


def test_a_contended_hand_off() -> None:
    """A forced hand-off is one hold, one wait with its request, and another hold."""
    trace = timeline(CONVOY)
    names = ("thread", "start", "end", "tenure", "cause")
    assert [
        (0, 0, 7 * MS, 1, Cause.FORCED),
        (1, 7 * MS, 8 * MS, 2, Cause.VOLUNTARY),
    ] == rows(trace.holds, *names)
    assert [(1, 1 * MS, 7 * MS, 1, 1)] == rows(
        trace.waits, "thread", "start", "end", "hold", "requests"
    )
    assert [(1, 6 * MS, 0)] == rows(trace.drop_requests, "thread", "ts", "hold")
    assert ["spin.py:12 in <module>", "server.py:41 in handle"] == [
        str(trace.places[place]) for place in trace.holds.place
    ]
    assert trace.notes == ()
    assert check(trace) == []


def test_entities() -> None:
    """Processes, GILs and threads carry what their records say."""
    trace = timeline(
        """
        process 4242 ppid=17 python=3.13.0 interval=2ms start=1ms end=9ms
        main: hold 2-3ms
        process 4243 ppid=4242
        main: hold 1-2ms
        gil 1 interpreter=5 created=3ms
        worker: hold 4-6ms gil=1
        """
    )
    assert [(0, 4242, 17, "3.13.0"), (1, 4243, 4242, "3.11.7")] == [
        (p.index, p.pid, p.ppid, p.python) for p in trace.processes
    ]
    assert [(1 * MS, 9 * MS), (0, 6 * MS)] == [(p.start_ns, p.end_ns) for p in trace.processes]
    assert [(0, 0, 0, 2 * MS), (1, 0, 0, 5 * MS), (1, 1, 5, 5 * MS)] == [
        (gil.process, gil.number, gil.interpreter, gil.switch_interval_ns) for gil in trace.gils
    ]
    assert [(1 * MS, 9 * MS), (0, 6 * MS), (3 * MS, 6 * MS)] == [
        (gil.start_ns, gil.end_ns) for gil in trace.gils
    ]
    assert [(0, 4242, "main"), (1, 4243, "main"), (1, 4244, "worker")] == [
        (thread.process, thread.tid, thread.name) for thread in trace.threads
    ]
    assert [(0, 0), (1, 1), (2, 2)] == rows(trace.holds, "gil", "thread")
    assert (trace.start_ns, trace.end_ns) == (0, 9 * MS)
    assert [t.name for t in trace.threads_of(1)] == ["main", "worker"]
    assert (trace.holds_of(2), trace.waits_of(2)) == (slice(2, 3), slice(0, 0))


def test_thread_names_change() -> None:
    """The last name counts, all are kept, and a thread that never had one is called by its tid."""
    made = recording("a: hold 0-1ms; b: hold 2-3ms")
    made.processes[0].threads[1] = ThreadInfo(0, 1, 777, 0)
    made.extra += [ThreadName(0, 0, 3 * MS, "late"), ThreadName(0, 0, 2 * MS, "early")]
    first, second = build(made.capture()).threads
    assert (first.name, first.names) == (
        "late",
        ((0, "a"), (2 * MS, "early"), (3 * MS, "late")),
    )
    assert (second.name, second.names) == ("thread 777", ())


def test_thread_times() -> None:
    """A thread ends with its last hold or wait, and one without events at its start."""
    made = recording("a: hold 1-2ms; b: hold 3-5ms; c: wait 4ms-")
    made.processes[0].thread("idle", start_ns=2 * MS)
    spans = [(thread.start_ns, thread.end_ns) for thread in build(made.capture()).threads]
    assert spans == [(0, 2 * MS), (0, 5 * MS), (0, 5 * MS), (2 * MS, 2 * MS)]


def test_switch_intervals() -> None:
    """A GIL has the last interval on record, and remembers all changes."""
    made = recording("main: hold 0-9ms")
    made.extra += [SwitchInterval(0, 0, 5 * MS, 50_000), SwitchInterval(0, 0, 1 * MS, 10_000)]
    (gil,) = build(made.capture()).gils
    assert gil.switch_interval_ns == 50_000
    assert gil.switch_intervals == ((1 * MS, 10_000), (5 * MS, 50_000))


def test_holds_that_are_open_at_the_end() -> None:
    """An open hold ends with its process, by no cause; so does an open wait, without a hold."""
    trace = timeline("process 1 end=9ms; main: hold 2ms-; io: wait 3ms- request@8ms")
    assert [(2 * MS, 9 * MS, Cause.NONE)] == rows(trace.holds, "start", "end", "cause")
    assert [(3 * MS, 9 * MS, -1, 1)] == rows(trace.waits, "start", "end", "hold", "requests")
    assert trace.notes == ()


def test_a_process_without_an_end() -> None:
    """Without an end record a process ends with its last event, and a note says so."""
    trace = timeline("process 1 end=none; main: hold 2ms-; io: wait 3ms-")
    assert [(2 * MS, 3 * MS)] == rows(trace.holds, "start", "end")
    assert (trace.processes[0].end_ns, trace.processes[0].ended) == (3 * MS, False)
    assert trace.notes == (
        "pid 1: Its end is not on record: whatever was open is shown up to its last event.",
    )


def test_a_hold_from_before_the_recording() -> None:
    """A stream that begins with a release held the GIL since its process's recording began."""
    trace = timeline("process 1 start=1ms; main: hold -3ms; io: wait 2-3ms hold 3-4ms")
    assert [(1 * MS, 3 * MS, 0, Cause.VOLUNTARY), (3 * MS, 4 * MS, 1, Cause.VOLUNTARY)] == rows(
        trace.holds, "start", "end", "tenure", "cause"
    )
    assert [(0, 1, 0)] == rows(trace.handoffs, "release", "acquire", "latency")
    assert trace.notes == ()


def test_a_request_to_the_hold_from_before() -> None:
    """The hold in force when recording began has number 0, by which requests can name it."""
    trace = timeline("main: hold -7ms check; io: wait 1-7ms request@6ms hold 7-8ms")
    assert [(0, Cause.FORCED), (1, Cause.VOLUNTARY)] == rows(trace.holds, "tenure", "cause")


def test_synthetic_ends() -> None:
    """Where recording begins and stops during a hold there is no switch and no hand-off."""
    trace = timeline("main: hold 0-2ms already hold 4-6ms still; io: hold 7-8ms")
    assert [Cause.VOLUNTARY, Cause.NONE, Cause.VOLUNTARY] == trace.holds.cause.tolist()
    assert len(trace.handoffs) == 0
    assert [(2 * MS, 4 * MS)] == rows(trace.off_gil, "start", "end")


def test_several_gils_at_once() -> None:
    """A thread that uses two GILs is paired on each by itself."""
    trace = timeline(
        """
        main: hold 0-2ms hold 3-5ms gil=1 wait 6-7ms hold 7-8ms
        other: hold 2-7ms; third: wait 4-5ms gil=1 request@5ms hold 5-9ms gil=1
        """
    )
    assert [
        (0, 0, 0, 2 * MS),
        (0, 1, 2 * MS, 7 * MS),
        (0, 0, 7 * MS, 8 * MS),
        (1, 0, 3 * MS, 5 * MS),
        (1, 2, 5 * MS, 9 * MS),
    ] == rows(trace.holds, "gil", "thread", "start", "end")
    assert [(0, 2), (1, 4)] == rows(trace.waits, "gil", "hold")
    assert [(1, 3)] == rows(trace.drop_requests, "gil", "hold")
    assert check(trace) == []


def test_processes_share_nothing() -> None:
    """Equal numbers of threads, GILs and tenures in two processes are kept apart."""
    text = "main: hold 0-7ms; io: wait 1-7ms request@6ms hold 7-8ms"
    trace = timeline(f"process 1; {text}; process 2; {text}")
    assert [(0, 0), (0, 1), (1, 2), (1, 3)] == rows(trace.holds, "gil", "thread")
    assert [1, 3] == trace.waits.hold.tolist()
    assert [0, 2] == trace.drop_requests.hold.tolist()
    assert [(0, 1), (2, 3)] == rows(trace.handoffs, "release", "acquire")
    assert check(trace) == []


def test_many_threads() -> None:
    """Thread numbers may be far apart and more than 16 bits can count."""
    made = Recording()
    process = made.process()
    for i in range(70_000):
        thread = i * 61_000
        process.acquire(thread, 2 * i, i + 1)
        process.release(thread, 2 * i + 1)
    trace = build(made.capture())
    assert len(trace.threads) == 70_000
    assert trace.holds.thread.tolist() == list(range(70_000))
    assert len(trace.handoffs) == 69_999
    assert check(trace) == []


def test_samples_follow_their_process() -> None:
    """Samples name processes by index, and those of an unknown process are left out."""
    made = recording("process 1; main: hold 0-1ms")
    known, unknown = (Sample(n, 5, 1 << 20, 1, 1, 2, 3, 4, [[1, 1, 2, 3, 4]]) for n in (0, 9))
    made.extra += [known, unknown]
    assert build(made.capture()).samples == (known,)


def test_numbers_of_processes_may_have_gaps() -> None:
    """Process numbers of the capture become indices, in samples too."""
    source = capture("main: hold 0-1ms")
    source.events[5] = source.events.pop(0)
    source.samples.append(Sample(5, 5, 1 << 20, 1, 1, 2, 3, 4, []))
    trace = build(source)
    assert [p.pid for p in trace.processes] == [100, 0]
    assert [sample.process for sample in trace.samples] == [1]
    assert "process #1: The record that describes it is missing." in trace.notes
    assert [thread.name for thread in trace.threads_of(1)] == ["thread #0"]
    assert check(trace) == []


def test_nothing_recorded() -> None:
    """A capture without a process makes an empty trace that says so."""
    trace = timeline()
    assert (len(trace.holds), len(trace.waits), len(trace.drop_requests)) == (0, 0, 0)
    assert (len(trace.handoffs), len(trace.off_gil)) == (0, 0)
    assert trace.notes == ("The capture holds no process: nothing was recorded.",)
    assert check(trace) == []


def test_a_process_without_events() -> None:
    """A process in which nothing happened has no GIL, and a note."""
    trace = timeline("process 7")
    assert (trace.gils, trace.threads) == ((), ())
    assert trace.notes == ("pid 7: No GIL event was recorded.",)
    assert check(trace) == []


def test_an_interpreter_without_a_gil() -> None:
    """An empty trace of a free-threaded interpreter is not mistaken for good news."""
    trace = timeline("process 7 nogil")
    assert trace.notes == (
        "pid 7: This interpreter runs without a GIL: there is nothing to hold or to wait for.",
    )


def test_load(tmp_path: Path) -> None:
    """What is written to a file and loaded is what was made, by any of the public names."""
    path = write_capture(tmp_path / "a.giltrace", CONVOY)
    expected = timeline(CONVOY)
    for read in (load, giltrace.load):
        trace = read(path)
        assert isinstance(trace, Trace)
        for name in ("holds", "waits", "drop_requests"):
            table = getattr(expected, name)
            names = tuple(table.columns())
            assert rows(table, *names) == rows(getattr(trace, name), *names)
        assert (trace.processes, trace.gils, trace.threads, trace.places, trace.notes) == (
            expected.processes,
            expected.gils,
            expected.threads,
            expected.places,
            expected.notes,
        )
        assert trace.end == End(8 * MS, 0, None)


def test_a_trace_is_a_line_at_the_prompt() -> None:
    """Not all of its tables, which would fill a notebook."""
    trace = timeline(CONVOY)
    shown = repr(trace)
    assert len(shown) < 200
    assert f"threads={len(trace.threads)}, holds={len(trace.holds)}" in shown


def test_a_gil_that_is_only_described() -> None:
    """A GIL of which there is no event is there all the same."""
    made = recording("main: hold 0-4ms")
    made.processes[0].gils.append(GilInfo(0, 3, 2, 1 * MS))
    trace = build(made.capture())
    assert [(gil.number, gil.interpreter, gil.wall_ns) for gil in trace.gils] == [
        (0, 0, 4 * MS),
        (3, 2, 3 * MS),
    ]


def test_columns_are_read_only() -> None:
    """Nobody can change a trace by accident."""
    trace = timeline(CONVOY)
    with pytest.raises(ValueError, match="read-only"):
        trace.holds.start[0] = 1
