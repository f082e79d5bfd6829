"""Whatever was going on when a window begins, a capture of it is sound and complete from there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture import CaptureWriter, read
from giltrace.capture.events import (
    GIL_MASK,
    GIL_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
    pack_data,
)
from giltrace.capture.reader import Events
from giltrace.capture.records import SessionInfo
from giltrace.model import Cause, Trace, build, check
from giltrace.record.follow import Follower
from giltrace.record.window import Window
from tests.support.recording import ProcessRecording, Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=100)
Block = tuple[list[tuple[int, int]], bytes]


def blocks_of(events: Events, sizes: list[int]) -> list[Block]:
    """The events as the recorder would take them, so many each time; the rest at the end."""
    blocks, at = [], 0
    while at < len(events.ts):
        size = sizes.pop(0) if sizes else len(events.ts) - at
        here = slice(at, at + size)
        runs, raw = [], b""
        for thread in sorted(set(events.thread[here].tolist())):
            mine = [i for i in range(*here.indices(len(events.ts))) if events.thread[i] == thread]
            runs.append((thread, len(mine)))
            for i in mine:
                raw += int(events.ts[i]).to_bytes(8, "little")
                raw += int(events.data[i]).to_bytes(8, "little")
        blocks.append((runs, raw))
        at += size
    return blocks


def windowed(process: ProcessRecording, blocks: list[Block], kept: int, folder: Path) -> Path:
    """A capture of a window that has room for so many of the blocks, the last ones."""
    now = [0]
    window = Window(kept, clock=lambda: now[0])
    for record in process.records():
        window.write(record)
    for runs, raw in blocks:
        now[0] += 1
        window.events(0, runs, raw)
    now[0] += 1
    path = folder / "window.giltrace"
    with path.open("wb") as file:
        window.save(CaptureWriter(file, SessionInfo("0", [], 0, 0)))
    return path


def ended(trace: Trace) -> set[tuple[int, int, int, int]]:
    """All holds with a release: number of the GIL, tenure, start, end."""
    holds = trace.holds
    columns = (holds.gil, holds.tenure, holds.start, holds.end, holds.cause)
    return {
        (trace.gils[gil].number, tenure, start, end)
        for gil, tenure, start, end, cause in zip(*(c.tolist() for c in columns), strict=True)
        if cause != Cause.NONE
    }


@CHECKED
@given(
    choices=st.lists(st.integers(0, 1 << 16), min_size=1, max_size=60),
    threads=st.integers(1, 4),
    gils=st.integers(1, 2),
    sizes=st.lists(st.integers(1, 20), max_size=8),
    kept=st.integers(1, 8),
)
def test_any_beginning_is_sound(
    choices: list[int], threads: int, gils: int, sizes: list[int], kept: int
) -> None:
    """All holds and waits that ended in the window are there, and nothing had to be mended."""
    recording = Recording()
    made = schedule(recording, choices, threads=threads, gils=gils)
    events = made.process.columns()
    blocks = blocks_of(events, list(sizes))
    gone = max(0, len(blocks) - kept)
    cut = sum(len(raw) for _, raw in blocks[:gone]) // 16
    with tempfile.TemporaryDirectory() as folder:
        trace = build(read(windowed(made.process, blocks, kept, Path(folder))))
    assert check(trace) == []
    whole = build(recording.capture())
    acquired = events.data[cut:][events.data[cut:] & KIND_MASK == Kind.ACQUIRE]
    rest = {(int(data) >> GIL_SHIFT & GIL_MASK, int(data) >> PAYLOAD_SHIFT) for data in acquired}
    assert {hold for hold in ended(whole) if hold[:2] in rest} <= ended(trace)
    assert [note for note in trace.notes if "without" in note or "left out" in note] == []


@CHECKED
@given(
    choices=st.lists(st.integers(0, 1 << 16), min_size=1, max_size=60),
    threads=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 10), max_size=20),
)
def test_what_is_longest_does_not_depend_on_blocks(
    choices: list[int], threads: int, sizes: list[int]
) -> None:
    """Events taken in pieces come to the same holds and waits as those taken at once."""
    made = schedule(Recording(), choices, threads=threads, gils=1)
    events = made.process.columns()
    whole, pieces = Follower(), Follower()
    (block,) = blocks_of(events, []) or [([], b"")]
    once = whole.take(*block)
    taken = [pieces.take(*piece) for piece in blocks_of(events, list(sizes))]
    assert once.longest_wait_ns == max((one.longest_wait_ns for one in taken), default=0)
    assert once.longest_hold_ns == max((one.longest_hold_ns for one in taken), default=0)
    assert pieces.open == whole.open
    held = [hold.end - hold.start for hold in made.holds if hold.end in set(events.ts.tolist())]
    assert once.longest_hold_ns <= max(held, default=0)


@CHECKED
@given(
    choices=st.lists(st.integers(0, 1 << 16), min_size=20, max_size=60),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(-3, 3)), min_size=1, max_size=9),
    sizes=st.lists(st.integers(1, 20), max_size=8),
    kept=st.integers(1, 4),
)
def test_priorities_are_those_of_the_whole(
    choices: list[int], changes: list[tuple[int, int]], sizes: list[int], kept: int
) -> None:
    """Threads that are in the window have the priority that they were given, however long ago."""
    recording = Recording()
    made = schedule(recording, choices, threads=3, gils=1)
    events = made.process.events
    for at, priority in changes:
        thread, ts, _ = events[at % len(events)]
        data = pack_data(Kind.PRIORITY, priority & 0xFFFFFFFF)
        events.insert(at % len(events), (thread, ts, data))
    blocks = blocks_of(made.process.columns(), list(sizes))
    with tempfile.TemporaryDirectory() as folder:
        trace = build(read(windowed(made.process, blocks, kept, Path(folder))))
    whole = build(recording.capture())
    assert check(trace) == []
    was = {one.tid: whole.priorities.at(one.index, whole.end_ns) for one in whole.threads}
    assert {one.tid for one in trace.threads} <= set(was)
    for one in trace.threads:
        assert trace.priorities.at(one.index, trace.end_ns) == was[one.tid]
