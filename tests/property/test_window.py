"""Whatever was going on when a window begins, a capture of it is sound and complete from there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture import CaptureWriter, read
from giltrace.capture.events import Kind, pack_data
from giltrace.capture.reader import Events
from giltrace.capture.window import Window
from giltrace.model import Trace, build, check
from giltrace.record.follow import Follower
from tests.support.recording import ProcessRecording, Recording, Spot
from tests.support.schedules import Schedule, schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=60)
Poll: TypeAlias = tuple[int, Sequence[int]]


class Block(NamedTuple):
    """Events that come together, and until when all have come by then."""

    runs: list[tuple[int, int]]
    raw: bytes
    complete_ns: int


CHOICES = st.lists(st.integers(0, 1 << 16), min_size=30, max_size=90)
# After how many events the threads are drained again, and how many more come until it is each
# one's turn: they are drained one after the other, while the program goes on.
POLLS = st.lists(
    st.tuples(st.integers(0, 20), st.lists(st.integers(0, 12), min_size=4, max_size=4)),
    min_size=2,
    max_size=9,
).map(lambda polls: [(polls[0][0] + 1, polls[0][1]), *polls[1:]])  # something is complete at once


def drained(events: Events, polls: Sequence[Poll]) -> list[Block]:
    """The events as a recorder takes them: of each thread up to a time of its own."""
    blocks, seen, at = [], np.zeros(len(events), np.bool_), 0
    for step, late in [*polls, (len(events), [0])]:
        at += step
        runs, taken = [], []
        for thread in np.unique(events.thread).tolist():
            mine = (events.thread == thread) & ~seen
            mine[at + late[thread % len(late)] :] = False
            runs.append((thread, int(mine.sum())))
            taken.append(np.stack((events.ts[mine], events.data[mine]), axis=1))
            seen |= mine
        raw = b"".join(words.tobytes() for words in taken)
        blocks.append(Block(runs, raw, int(events.ts[:at].max(initial=0))))
    return blocks


def windowed(
    process: ProcessRecording, blocks: list[Block], span_ns: int, *, since_ns: int, packed: bool
) -> Trace:
    """What a capture says that a window has written which has been given these blocks."""
    window = Window(span_ns, packed=packed)
    for record in process.records():
        window.write(record)
    for runs, raw, complete_ns in blocks:
        window.events(0, runs, raw)
        window.complete(0, complete_ns)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "window.giltrace")
        with path.open("wb") as file:
            writer = CaptureWriter(file, Recording().session)
            window.save(writer, since_ns=since_ns, until_ns=window.complete_ns)
        return build(read(path))


def cut_of(blocks: list[Block], span_ns: int) -> int:
    """When the last of all events happened that are in blocks which have become too old."""
    newest, arrived = 0, []
    for _, raw, _ in blocks:
        newest = max(newest, int(np.frombuffer(raw, "<u8")[::2].max(initial=0)))
        arrived.append(newest)
    return max((one for one in arrived if one < newest - span_ns), default=0)


def between(trace: Trace, cut_ns: int, until_ns: int) -> tuple[set[Any], set[Any]]:
    """All holds and waits of a stretch of time, as far as they are in it.

    The cause of a hold is among it only if all of that is: it may have been asked to end before.
    """
    if cut_ns >= until_ns:
        return set(), set()
    holds, waits = trace.holds, trace.waits
    numbers = [gil.number for gil in trace.gils]
    tids = [thread.tid for thread in trace.threads]
    held = set()
    for i in np.flatnonzero((holds.end > cut_ns) & (holds.start < until_ns)).tolist():
        start, end = int(holds.start[i]), int(holds.end[i])
        who = (numbers[holds.gil[i]], int(holds.tenure[i]), tids[holds.thread[i]])
        whole = cut_ns < start and end < until_ns
        held.add(
            (*who, max(start, cut_ns), min(end, until_ns), int(holds.cause[i]) if whole else None)
        )
    waited = {
        (
            tids[waits.thread[i]],
            max(int(waits.start[i]), cut_ns),
            min(int(waits.end[i]), until_ns),
        )
        for i in np.flatnonzero((waits.end > cut_ns) & (waits.start < until_ns)).tolist()
    }
    return held, waited


def scheduled(recording: Recording, choices: list[int], *, threads: int, gils: int) -> Schedule:
    """A schedule of which no two things happen at the same time, and nothing at 0."""
    made = schedule(recording, choices, threads=threads, gils=gils)
    process = made.process
    process.events = [
        (thread, ts + i, data) for i, (thread, ts, data) in enumerate(process.events, 1)
    ]
    process.end_ns = (process.end_ns or 0) + len(process.events) + 1
    return made


@CHECKED
@given(
    choices=CHOICES,
    threads=st.integers(2, 4),
    gils=st.integers(1, 2),
    polls=POLLS,
    shares=st.tuples(st.integers(0, 120), st.just(0) | st.integers(0, 120), st.integers(1, 12)),
)
def test_any_stretch_is_sound(
    choices: list[int], threads: int, gils: int, polls: list[Poll], shares: tuple[int, int, int]
) -> None:
    """A capture has all that happened between its ends, and nothing has to be mended."""
    recording = Recording()
    process = scheduled(recording, choices, threads=threads, gils=gils).process
    events = process.columns()
    blocks = drained(events, polls)[: shares[2]]
    span_ns, since_ns = (int(events.ts.max()) * share // 100 for share in shares[:2])
    since_ns = min(since_ns, blocks[-1].complete_ns)  # of what comes later little is known yet
    trace = windowed(process, blocks, span_ns, since_ns=since_ns, packed=bool(gils % 2))
    assert check(trace) == []
    cut_ns, until_ns = max(cut_of(blocks, span_ns), since_ns), blocks[-1].complete_ns
    whole = build(recording.capture())
    assert between(trace, cut_ns, until_ns) == between(whole, cut_ns, until_ns)
    assert [note for note in trace.notes if "No GIL event" not in note] == []


@CHECKED
@given(
    choices=CHOICES,
    threads=st.integers(1, 4),
    polls=POLLS,
)
def test_what_is_longest_does_not_depend_on_blocks(
    choices: list[int], threads: int, polls: list[Poll]
) -> None:
    """Events taken in pieces come to the same holds and waits as those taken at once."""
    made = schedule(Recording(), choices, threads=threads, gils=1)
    events = made.process.columns()
    whole, pieces = Follower(), Follower()
    (block,) = drained(events, [])
    once = whole.take(block.runs, block.raw)
    taken = [pieces.take(runs, raw) for runs, raw, _ in drained(events, polls)]
    assert once.wait.ns == max((one.wait.ns for one in taken), default=0)
    assert once.hold.ns == max((one.hold.ns for one in taken), default=0)
    for one in (once.wait, once.hold):
        assert one.end_ns in events.ts or one.end_ns == 0
    assert pieces.open == whole.open
    held = [hold.end - hold.start for hold in made.holds if hold.end in set(events.ts.tolist())]
    assert once.hold.ns <= max(held, default=0)


@CHECKED
@given(
    choices=CHOICES,
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(-3, 3)), min_size=1, max_size=9),
    polls=POLLS,
    share=st.integers(0, 120),
)
def test_priorities_are_those_of_the_whole(
    choices: list[int], changes: list[tuple[int, int]], polls: list[Poll], share: int
) -> None:
    """Threads that are in the window have the priority that they were given, however long ago."""
    recording = Recording()
    process = scheduled(recording, choices, threads=3, gils=1).process
    events = process.events
    for at, priority in changes:
        thread, ts, _ = events[at % len(events)]
        data = pack_data(Kind.PRIORITY, priority & 0xFFFFFFFF)
        events.insert(at % len(events), (thread, ts, data))
    columns = process.columns()
    span_ns = int(columns.ts.max()) * share // 100
    trace = windowed(process, drained(columns, polls), span_ns, since_ns=0, packed=True)
    whole = build(recording.capture())
    assert check(trace) == []
    was = {one.tid: whole.priorities.at(one.index, whole.end_ns) for one in whole.threads}
    assert {one.tid for one in trace.threads} <= set(was)
    for one in trace.threads:
        assert trace.priorities.at(one.index, trace.end_ns) == was[one.tid]


@CHECKED
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    polls=POLLS,
    share=st.integers(0, 120),
)
def test_calls_that_end_in_the_window_are_there(
    lengths: list[int], polls: list[Poll], share: int
) -> None:
    """During one long hold too, when nothing else tells the time; from the beginning on."""
    recording = Recording()
    process = recording.process()
    thread, now = process.thread("main"), 1
    process.wait(thread, 1, 0)
    process.acquire(thread, 1, 1)
    for length in lengths:
        process.span(thread, now, now + length, Spot("app.py", 3, "work"))
        now += length
    process.end_ns = now
    # Both events of a call in one block.
    blocks = drained(process.columns(), [(2 * step, [2 * late[0]]) for step, late in polls])
    trace = windowed(process, blocks, now * share // 100, since_ns=0, packed=False)
    ends = 1 + np.cumsum(lengths)
    assert check(trace) == [] and trace.notes == ()
    assert trace.spans.end.tolist() == ends[ends > trace.start_ns].tolist()
