"""The last seconds of a recording, as a capture of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from giltrace.capture import Capture, read
from giltrace.capture.cut import runs_of
from giltrace.capture.events import PAYLOAD_SHIFT, Kind
from giltrace.capture.records import ProcessInfo, SessionInfo, ThreadInfo
from giltrace.capture.rewrite import rewrite
from giltrace.capture.window import MOST_BYTES, Window
from giltrace.model import Trace
from giltrace.model.builder import build
from giltrace.model.invariants import check
from tests.support.recording import ProcessRecording, Recording, Spot

LINE = Spot("app.py", 10, "work")
SAMPLE = Path(__file__).parents[3] / "sample_runs" / "blocking-1-spin.giltrace"
MS = 1_000_000


def talk(process: ProcessRecording, rounds: int) -> None:
    """Two threads that take turns: one computes for 5 ms, one is off in recv for 10 ms."""
    a, b = process.thread("cpu"), process.thread("io")
    for i in range(rounds):
        t = i * 10 * MS
        process.acquire(a, t, 2 * i + 1)
        process.wait(b, t + 1 * MS, 2 * i + 1)
        process.release(a, t + 6 * MS, LINE, check=True)
        process.acquire(b, t + 6 * MS + 10, 2 * i + 2)
        process.release(b, t + 7 * MS, LINE, call=True, name="socket.recv", fd=3)


def fed(
    recording: Recording,
    seconds: float,
    *,
    every: int = 20,
    most_bytes: int = MOST_BYTES,
    packed: bool = False,
) -> Window:
    """A window that has been given a recording, in blocks of some events."""
    window = Window(round(seconds * 1e9), most_bytes=most_bytes, packed=packed)
    window.write(recording.session)
    for process in recording.processes:
        for record in process.records():
            window.write(record)
        columns = process.columns()
        for first in range(0, len(columns), every):
            some = slice(first, first + every)
            words = np.stack((columns.ts[some], columns.data[some]), axis=1)
            runs = [(thread, 1) for thread in columns.thread[some].tolist()]
            window.events(process.info.process, runs, words.tobytes())
    return window


def made(rounds: int = 100) -> Recording:
    """A recording of a second."""
    recording = Recording()
    talk(recording.process(), rounds)
    return recording


def rows(trace: Trace, since: int) -> list[tuple[int, ...]]:
    """The holds and waits that begin after a time, by who, from when to when, and why it ended."""
    holds, waits = trace.holds, trace.waits
    later = holds.start > since
    held = [
        column[later].tolist() for column in (holds.thread, holds.start, holds.end, holds.cause)
    ]
    later = waits.start > since
    waited = [column[later].tolist() for column in (waits.thread, waits.start, waits.end)]
    return [*zip(*held, strict=True), *zip(*waited, strict=True)]


def test_all_that_fits_is_the_recording_itself() -> None:
    """A window that has forgotten nothing tells the same as the recording."""
    recording = made()
    whole = build(recording.capture())
    kept = build(fed(recording, 100).capture())
    assert rows(kept, -1) == rows(whole, -1)
    assert kept.notes == ()


def test_the_last_seconds_are_as_they_were() -> None:
    """After the cut, each hold and wait is where it was, and nothing is said to be lost."""
    recording = made()
    window = fed(recording, 0.3)
    trace = build(window.capture())
    assert 0 < window.oldest_ns < window.newest_ns <= window.oldest_ns + 400 * MS
    assert trace.start_ns == window.oldest_ns
    assert rows(trace, window.oldest_ns) == rows(build(recording.capture()), window.oldest_ns)
    assert check(trace) == [] and trace.notes == () and trace.lost_events == 0


@pytest.mark.parametrize("every", range(1, 12))
def test_at_the_cut_each_thread_is_where_it_was(every: int) -> None:
    """Who held the GIL, who waited and who was off in a call is known from the first moment on."""
    recording = made(3)
    process = recording.processes[0]
    quiet = process.thread("quiet")
    process.events[0:0] = _quiet(quiet)
    window = fed(recording, 0.01, every=every)
    trace = build(window.capture())
    assert check(trace) == [] and trace.notes == ()
    thread = next(thread for thread in trace.threads if thread.name == "quiet")
    (hold,) = np.flatnonzero(trace.holds.thread == thread.index).tolist()
    assert trace.holds.start[hold] == trace.holds.end[hold] == trace.start_ns
    assert trace.calls[int(trace.holds.call[hold])].name == "socket.recv"


def _quiet(thread: int) -> list[tuple[int, int, int]]:
    other = Recording().process()
    other.calls = ["socket.recv"]
    other.acquire(thread, 0, 0)
    other.release(thread, 0, None, call=True, name="socket.recv", fd=9)
    return other.events


def test_memory_is_bounded() -> None:
    """However many events there are, and however long the time: older ones make room."""
    window = fed(made(1000), 1000, most_bytes=16 * 400)
    assert window.bytes_kept <= 16 * 400
    assert window.events_taken == 6000
    assert sum(len(events) for events in window.capture().events.values()) <= 420
    assert check(build(window.capture())) == []


def test_threads_that_come_and_go_are_forgotten() -> None:
    """A thread for each request does not make the window grow."""
    window = Window(10 * MS, alive=lambda _process, _thread: False)
    window.write(ProcessInfo(0, 1, 0, 0, "3.11.7"))
    for thread in range(8_000):
        process = Recording().process()
        window.write(ThreadInfo(0, thread, 100 + thread, thread * MS))
        process.acquire(thread, thread * MS, thread + 1)
        process.release(thread, thread * MS + 10)
        columns = process.columns()
        words = np.stack((columns.ts, columns.data), axis=1)
        window.events(0, [(thread, 2)], words.tobytes())
    assert len(window.capture().threads) < 5000
    assert check(build(window.capture())) == []


def test_a_part_of_the_window() -> None:
    """What is asked for since a later time begins there, and ends where it is asked to."""
    window = fed(made(), 100)
    capture = window.capture(since_ns=500 * MS, until_ns=2_000 * MS)
    trace = build(capture)
    assert 400 * MS <= trace.start_ns <= 500 * MS
    assert trace.end_ns == 2_000 * MS
    assert check(trace) == []


@pytest.mark.repo
def test_a_window_is_a_capture(tmp_path: Path) -> None:
    """What is written of it can be read, and says what the window says."""
    window = Window(1000 * MS)
    window.write(read(SAMPLE).session)
    for record, process, threads, words in _frames(read(SAMPLE)):
        if record is not None:
            window.write(record)
        else:
            window.events(process, runs_of(threads), words.tobytes())
    path = tmp_path / "saved.giltrace"
    with path.open("wb") as file:
        size = rewrite(file, window.capture())
    assert path.stat().st_size == size
    saved, kept = build(read(path)), build(window.capture())
    assert rows(saved, -1) == rows(kept, -1) and len(rows(saved, -1)) > 500
    assert check(saved) == [] and saved.loss.ended and not saved.loss.truncated
    assert saved.end_ns - saved.start_ns < 1.3e9
    assert not [note for note in saved.notes if "lost" in note]
    assert read(path).codes


def _frames(capture: Capture) -> Iterator[tuple]:  # type: ignore[type-arg]
    for record in (*capture.processes, *capture.threads, *capture.gils, *capture.codes):
        yield record, 0, None, None
    for record in (*capture.calls, *capture.thread_names):
        yield record, 0, None, None
    for process, events in capture.events.items():
        for some in np.array_split(np.arange(len(events)), 40):
            words = np.stack((events.ts[some], events.data[some]), axis=1)
            yield None, process, events.thread[some], words


def test_an_empty_window_is_an_empty_capture() -> None:
    """Before anything has come there is nothing, and that can be written."""
    window = Window(1000 * MS)
    window.write(SessionInfo("", [], 5, 6))
    assert window.capture().events == {}
    assert rewrite(io.BytesIO(), window.capture()) > 0


@pytest.mark.parametrize("every", [1, 3, 20])
def test_priorities_of_before_are_remembered(every: int) -> None:
    """Also when the change itself has become too old, and by the thread that had it last."""
    recording = made(30)
    process = recording.processes[0]
    for thread, priority in ((0, -1), (1, 7), (1, 2)):
        data = int(Kind.PRIORITY) | (priority & 0xFFFFFFFF) << PAYLOAD_SHIFT
        process.events.insert(8, (thread, 11 * MS, data))
    window = fed(recording, 0.1, every=every)
    trace = build(window.capture())
    assert check(trace) == [] and trace.notes == () and window.oldest_ns > 11 * MS
    later = build(window.capture(since_ns=window.oldest_ns + 20 * MS))
    for one in (trace, later):
        found = [one.priorities.at(thread, one.end_ns) for thread in (0, 1)]
        assert found == [-1, 7]


def test_with_a_clock_a_window_gets_old_by_itself() -> None:
    """When nothing happens any more, what had happened before is forgotten."""
    now = [0]
    window = Window(300 * MS, clock=lambda: now[0])
    recording = made()
    for record in recording.processes[0].records():
        window.write(record)
    columns = recording.processes[0].columns()
    for at in range(len(columns)):
        now[0] = max(now[0], int(columns.ts[at]))  # what says more of another has none
        word = np.array([columns.ts[at], columns.data[at]], np.uint64)
        window.events(0, [(int(columns.thread[at]), 1)], word.tobytes())
    recent = build(window.capture())
    assert window.oldest_ns >= now[0] - 310 * MS and len(recent.holds) > 50
    now[0] += 10_000 * MS
    quiet = build(window.capture(since_ns=now[0] - 300 * MS))
    assert (window.bytes_kept, quiet.start_ns, quiet.end_ns) == (0, now[0] - 300 * MS, now[0])
    assert [thread.name for thread in quiet.threads] == ["cpu", "io"]
    assert check(quiet) == [] and quiet.notes == ()


def test_of_threads_that_have_ended_only_what_they_did_is_shown() -> None:
    """One without an event in the window is not there, unless it waited, perhaps for ever."""
    recording = made(3)
    process = recording.processes[0]
    gone, stuck = process.thread("gone"), process.thread("stuck")
    process.events[0:0] = _quiet(gone)
    process.wait(stuck, 35 * MS, 6)
    busy = process.thread("busy")
    for i in range(10):
        process.acquire(busy, (100 + i) * MS, 7 + i)
        process.release(busy, (100 + i) * MS + 10)
    window = Window(5 * MS, alive=lambda _process, thread: thread.name == "busy")
    window.write(recording.session)
    for record in process.records():
        window.write(record)
    columns = process.columns()
    for thread, ts, data in zip(columns.thread, columns.ts, columns.data, strict=True):
        window.events(0, [(int(thread), 1)], np.array([ts, data], np.uint64).tobytes())
    trace = build(window.capture())
    assert sorted(thread.name for thread in trace.threads) == ["busy", "stuck"]
    assert trace.waits.start.tolist() == [trace.start_ns]
    assert check(trace) == [] and trace.notes == ()
