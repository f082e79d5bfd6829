"""Whatever is missing from a stream of events, or wrong in it, what is shown is still possible."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.analysis.blame import blame, table, worst_waits
from giltrace.analysis.summary import summarise
from giltrace.capture.events import (
    FLAG_SYNTHETIC,
    FLAGS_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
    pack_data,
)
from giltrace.capture.records import CallInfo, Descriptor, Record, SourceText
from giltrace.model import Trace, build, check
from tests.support.layers import add_calls, add_clocks
from tests.support.recording import ProcessRecording, Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=150)

NUMBERS = st.lists(st.integers(0, 1 << 16), max_size=60)
BROKEN = "The recorder has not finished"


def sound(trace: Trace) -> None:
    """Check all that has to hold in any trace, and that every analysis copes with this one."""
    assert check(trace) == []
    parts = blame(trace)
    sums = np.zeros(len(trace.waits), np.int64)
    np.add.at(sums, parts.wait, parts.ns)
    assert trace.waits.ns.tolist() == sums.tolist()
    assert (parts.ns > 0).all()
    assert sum(row.wait_ns for row in table(trace)) == int(trace.waits.ns.sum())
    assert len(worst_waits(trace, 3)) == min(3, len(trace.waits))
    assert (trace.off_gil.ns >= 0).all()
    assert (trace.handoffs.latency >= 0).all()
    off_ns = sum(one.off_gil_ns for one in summarise(trace).threads)
    assert off_ns == int(trace.off_gil.ns.sum())


def said(trace: Trace) -> list[str]:
    """The notes of a trace, but for the one that all recordings here have."""
    return [note for note in trace.notes if BROKEN not in note and "No GIL event" not in note]


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """One process with up to two GILs and four threads, whole; now and then with CPU clocks."""
    recording = Recording()
    schedule(
        recording,
        draw(NUMBERS),
        threads=draw(st.integers(1, 4)),
        gils=draw(st.integers(1, 2)),
        start=draw(st.sampled_from(["free", "synthetic", "unseen"])),
    )
    if draw(st.booleans()):
        extras = draw(st.lists(st.integers(0, 1 << 16), min_size=1, max_size=20))
        add_clocks(recording.processes[0], extras, spacing_ns=draw(st.sampled_from([0, 200_000])))
        add_calls(recording.processes[0], extras)
    return recording


def lose(process: ProcessRecording, first: int, count: int) -> int:
    """Put a LOST event in the place of ``count`` events of the thread of event ``first``."""
    thread = process.events[first][0]
    mine = [i for i, event in enumerate(process.events) if event[0] == thread]
    gone = mine[mine.index(first) :][:count]
    words = [process.events[i][2] for i in gone]
    before = sum(word >> PAYLOAD_SHIFT for word in words if word & KIND_MASK == Kind.LOST)
    lost = sum(word & KIND_MASK != Kind.LOST for word in words)
    process.events[gone[-1]] = (thread, 0, pack_data(Kind.LOST, before + lost))
    for i in reversed(gone[:-1]):
        del process.events[i]
    return lost


@CHECKED
@given(recordings(), st.lists(st.tuples(st.integers(0, 99), st.integers(1, 12)), max_size=4))
def test_lost_events(recording: Recording, losses: list[tuple[int, int]]) -> None:
    """Losses are counted and told, and holds of which nothing was lost are shown as they were."""
    (process,) = recording.processes
    whole = build(recording.capture())
    lost = 0
    for where, count in losses:
        candidates = [i for i, e in enumerate(process.events) if e[2] & KIND_MASK != Kind.LOST]
        if candidates:
            lost += lose(process, candidates[where % len(candidates)], count)
    trace = build(recording.capture())
    sound(trace)
    assert trace.lost_events == lost
    assert any("lost for want of buffer space" in note for note in said(trace)) == (lost > 0)
    before, after = numbered_holds(whole), numbered_holds(trace)
    known = {(event[0], event[1]) for event in process.events}
    for hold in before:
        gil, thread, start, end, tenure = hold
        if {(thread, start), (thread, end)} <= known and _adjacent(process, gil, thread, tenure):
            assert hold in after


def numbered_holds(trace: Trace) -> set[tuple[int, int, int, int, int]]:
    """Each hold as the numbers of its GIL and thread, its start, end and tenure."""
    holds = trace.holds
    gils = [trace.gils[gil].number for gil in holds.gil]
    threads = [trace.threads[thread].number for thread in holds.thread]
    times = (holds.start.tolist(), holds.end.tolist(), holds.tenure.tolist())
    return set(zip(gils, threads, *times, strict=True))


def _adjacent(process: ProcessRecording, gil: int, thread: int, tenure: int) -> bool:
    """Whether an acquire of that tenure is right before a release in the events of the thread."""
    mine = [event[2] for event in process.events if event[0] == thread]
    acquire = pack_data(Kind.ACQUIRE, tenure, gil=gil)
    return any(
        now | FLAG_SYNTHETIC << FLAGS_SHIFT == acquire | FLAG_SYNTHETIC << FLAGS_SHIFT
        and following & KIND_MASK == Kind.RELEASE
        for now, following in pairwise(mine)
    )


@CHECKED
@given(recordings(), st.data())
def test_a_missing_acquire_is_noticed(recording: Recording, data: st.DataObject) -> None:
    """Tenure numbers give away an acquire that is missing between two others of its GIL."""
    (process,) = recording.processes
    acquires = [
        i
        for i, (_, _, word) in enumerate(process.events)
        if word & KIND_MASK == Kind.ACQUIRE and word >> 8 & 0xFF == 0
    ]
    if len(acquires) > 2:
        del process.events[data.draw(st.sampled_from(acquires[1:-1]))]
        trace = build(recording.capture())
        sound(trace)
        assert said(trace)


@CHECKED
@given(recordings(), st.data())
def test_a_missing_release_is_noticed(recording: Recording, data: st.DataObject) -> None:
    """A hold without a release, with another hold of its GIL after it, is told."""
    (process,) = recording.processes
    kinds = [(i, word & KIND_MASK) for i, (_, _, word) in enumerate(process.events)]
    last = max((i for i, kind in kinds if kind == Kind.ACQUIRE), default=0)
    releases = [i for i, kind in kinds[:last] if kind == Kind.RELEASE]
    if len(recording.processes[0].events) and releases and _one_gil(process):
        gone = data.draw(st.sampled_from(releases))
        first = releases[0] == gone and process.events[0][2] & KIND_MASK != Kind.ACQUIRE
        del process.events[gone]
        trace = build(recording.capture())
        sound(trace)
        assert said(trace) or first


def _one_gil(process: ProcessRecording) -> bool:
    return len({word >> 8 & 0xFF for _, _, word in process.events}) == 1


@CHECKED
@given(recordings(), st.data())
def test_repeated_stretches_change_nothing(recording: Recording, data: st.DataObject) -> None:
    """A stretch of one thread's events that is in the file twice is shown once, and told.

    A descriptor that is there twice says the same thing twice, which is nothing to tell.
    """
    (process,) = recording.processes
    if not process.events:
        return
    whole = build(recording.capture())
    thread = data.draw(st.sampled_from(sorted({event[0] for event in process.events})))
    mine = [event for event in process.events if event[0] == thread]
    first = data.draw(st.integers(0, len(mine) - 1))
    last = data.draw(st.integers(first + 1, len(mine)))
    others = [event for event in process.events if event[0] != thread]
    process.events = others + mine[:last] + mine[first:]
    trace = build(recording.capture())
    sound(trace)
    assert said(trace) or {word & KIND_MASK for _, _, word in mine[first:last]} == {Kind.DETAIL}
    assert trace.holds.ns.sum() <= whole.holds.ns.sum()


EVENTS = st.tuples(
    st.integers(0, 3),
    st.one_of(st.integers(0, 50), st.integers(0, (1 << 64) - 1)),
    st.one_of(
        st.builds(
            pack_data,
            st.integers(0, 11),
            st.integers(0, 9),
            flags=st.integers(0, 15),
            gil=st.integers(0, 1),
        ),
        st.integers(0, (1 << 64) - 1),
    ),
)


INTS = st.one_of(st.integers(0, 9), st.integers(-(1 << 63), (1 << 63) - 1))
INDICES = st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1))
NAMES = st.one_of(st.text(max_size=9), st.sampled_from(["time.sleep", "posix.", "zlib.crc32"]))
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(CallInfo, INDICES, INDICES, NAMES),
    st.builds(Descriptor, INDICES, INDICES, INTS, NAMES),
    st.builds(SourceText, NAMES, INDICES, NAMES),
)


@CHECKED
@given(
    st.lists(EVENTS, max_size=40),
    st.lists(RECORDS, max_size=9),
    st.one_of(st.none(), st.integers(-5, 60)),
)
def test_any_events_at_all(
    events: list[tuple[int, int, int]], records: list[Record], end_ns: int | None
) -> None:
    """Arbitrary events make a trace, and an impossible one is never shown."""
    recording = Recording(extra=records)
    process = recording.process()
    process.events = events
    process.end_ns = end_ns
    trace = build(recording.capture())
    sound(trace)
    for fd in trace.holds.fd.tolist():
        assert isinstance(trace.descriptors.describe_fd(0, fd, 5), str)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "repeat", "swap", "later", "earlier", "tenure", "thread", "lose"]),
        st.integers(0, 99),
        st.integers(1, 1 << 20),
    ),
    max_size=6,
)


@CHECKED
@given(recordings(), EDITS)
def test_damaged_schedules(recording: Recording, edits: list[tuple[str, int, int]]) -> None:
    """Events that are missing, repeated, changed, or in the wrong place never break a trace."""
    (process,) = recording.processes
    for what, where, value in edits:
        if process.events:
            edit(process, what, where % len(process.events), value)
    sound(build(recording.capture()))


def edit(process: ProcessRecording, what: str, i: int, value: int) -> None:
    """Damage event ``i``."""
    events = process.events
    thread, ts, word = events[i]
    if what == "drop":
        del events[i]
    elif what == "repeat":
        events.insert(value % (len(events) + 1), events[i])
    elif what == "swap":
        j = value % len(events)
        events[i], events[j] = events[j], events[i]
    elif what == "later":
        events[i] = (thread, ts + value, word)
    elif what == "earlier":
        events[i] = (thread, max(0, ts - value), word)
    elif what == "tenure":
        events[i] = (thread, ts, word ^ (value % 8) << PAYLOAD_SHIFT)
    elif what == "thread":
        events[i] = (value % 4, ts, word)
    else:
        lose(process, i, value % 6 + 1)
