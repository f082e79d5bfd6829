"""Streams with something missing, doubled or wrong: what is shown, and what is said."""

from __future__ import annotations

import pytest

from giltrace.capture.events import Kind
from giltrace.model import Cause, Trace, build, check
from tests.support.recording import Recording
from tests.support.timeline import recording, timeline

MS = 1_000_000


def spans(trace: Trace) -> list[tuple[int, int, int]]:
    """Thread, start and end of each hold."""
    holds = trace.holds
    columns = (holds.thread.tolist(), holds.start.tolist(), holds.end.tolist())
    return list(zip(*columns, strict=True))


def notes(trace: Trace) -> list[str]:
    """The notes, without the name of the process; the invariants hold."""
    assert check(trace) == []
    return [note.removeprefix("pid 100: ") for note in trace.notes]


def test_a_lost_release_ends_with_the_next_tenure() -> None:
    """A hold whose release is missing is shown until somebody else holds the GIL."""
    trace = timeline("a: hold 0ms-; b: hold 5-6ms")
    assert spans(trace) == [(0, 0, 5 * MS), (1, 5 * MS, 6 * MS)]
    assert notes(trace) == ["1 hold without a release on record: the end is uncertain."]


def test_a_lost_release_before_missing_tenures() -> None:
    """When the next tenure is missing too, nothing but the hold's beginning is known."""
    trace = timeline("a: hold 1ms-; b: hold 5-6ms tenure=4")
    assert spans(trace) == [(0, 1 * MS, 1 * MS), (1, 5 * MS, 6 * MS)]


def test_a_lost_release_that_a_waiter_met() -> None:
    """Who waits for a hold, or asks it to end, proves that it was still there."""
    trace = timeline("a: hold 1ms-; b: wait 2-9ms request@4ms hold 9-10ms tenure=7; c: wait 3ms-")
    assert spans(trace) == [(0, 1 * MS, 4 * MS), (1, 9 * MS, 10 * MS)]
    assert trace.drop_requests.hold.tolist() == [0]
    assert trace.holds.cause.tolist() == [Cause.UNKNOWN, Cause.VOLUNTARY]


def test_a_lost_release_ends_with_the_threads_next_event() -> None:
    """A thread that waits does not hold the GIL any more."""
    trace = timeline("a: hold 0ms- wait 3ms- ; b: hold 5-6ms")
    assert spans(trace) == [(0, 0, 3 * MS), (1, 5 * MS, 6 * MS)]
    assert len(notes(trace)) == 1


def test_a_lost_acquire_of_an_uncontended_hold() -> None:
    """Of a hold in the middle of nowhere only the release is known: it has no length."""
    trace = timeline("a: hold 0-1ms release@5ms; b: hold 8-9ms tenure=3")
    assert spans(trace) == [(0, 0, 1 * MS), (0, 5 * MS, 5 * MS), (1, 8 * MS, 9 * MS)]
    assert trace.holds.tenure.tolist() == [1, 2, 3]
    assert notes(trace) == [
        "1 release without an acquire on record: the start of the hold is uncertain."
    ]


def test_a_lost_acquire_of_a_waiter() -> None:
    """A waiter acquires when the GIL becomes free."""
    trace = timeline("a: hold 0-3ms; b: wait 1ms- release@5ms; a: hold 8-9ms tenure=3")
    assert spans(trace) == [(0, 0, 3 * MS), (1, 3 * MS, 5 * MS), (0, 8 * MS, 9 * MS)]
    assert (trace.waits.hold.tolist(), trace.waits.end.tolist()) == ([1], [3 * MS])
    assert len(trace.handoffs) == 2


def test_a_stream_that_begins_late_with_a_release() -> None:
    """A hold of before another known one's end would make two holders: it begins after that."""
    trace = timeline("a: hold 0-3ms; b: release@5ms; a: hold 8-9ms tenure=3")
    assert spans(trace) == [(0, 0, 3 * MS), (1, 3 * MS, 5 * MS), (0, 8 * MS, 9 * MS)]
    assert len(notes(trace)) == 1


def test_a_release_for_which_there_is_no_room() -> None:
    """Between tenures 1 and 2 there was no other: the release is wrong and left out."""
    trace = timeline("a: hold 0-1ms release@5ms; b: hold 8-9ms")
    assert spans(trace) == [(0, 0, 1 * MS), (1, 8 * MS, 9 * MS)]
    assert notes(trace) == ["1 release that fit no hold left out."]


def test_a_release_during_anothers_hold() -> None:
    """A release by a thread that cannot have held the GIL is left out."""
    trace = timeline("a: hold 0-9ms; b: hold 10-11ms release@10500us release@12ms")
    assert spans(trace)[0] == (0, 0, 9 * MS)
    trace = timeline("a: hold 0-9ms; b: wait 1ms- release@5ms; a: hold 20-21ms tenure=5")
    assert spans(trace) == [(0, 0, 9 * MS), (0, 20 * MS, 21 * MS)]
    assert "1 release that fit no hold left out." in notes(trace)


def test_missing_tenures() -> None:
    """A gap in the numbers is told, and is no hand-off."""
    trace = timeline("a: hold 0-1ms; b: hold 2-3ms tenure=5 hold 4-5ms tenure=6")
    assert notes(trace) == ["3 holds not on record (lost, or recording was paused)."]
    assert len(trace.handoffs) == 0


def test_repeated_events() -> None:
    """An event that is in the file twice counts once."""
    made = recording("a: hold 0-7ms; b: wait 1-7ms request@6ms hold 7-8ms")
    expected = build(made.capture())
    process = made.processes[0]
    process.events = [event for event in process.events for _ in range(2)]
    trace = build(made.capture())
    for name in ("holds", "waits", "drop_requests"):
        for column, values in getattr(expected, name).columns().items():
            assert values.tolist() == getattr(trace, name).columns()[column].tolist()
    assert notes(trace) == ["6 duplicate events left out."]


def test_a_repeated_stretch() -> None:
    """A stretch of one thread's events that is in the file twice is shown once."""
    made = recording("a: hold 0-7ms; b: wait 1-7ms request@6ms hold 7-8ms hold 9-10ms")
    expected = spans(build(made.capture()))
    process = made.processes[0]
    process.events += [event for event in process.events if event[0] == 1]
    trace = build(made.capture())
    assert spans(trace) == expected
    assert (len(trace.waits), trace.waits.requests.tolist()) == (1, [1])
    assert len(trace.drop_requests) == 1
    assert any("duplicate" in note for note in notes(trace))


def test_two_claims_to_one_tenure() -> None:
    """Of two acquires with one number the one that has a release is believed."""
    trace = timeline("a: acquire@0 tenure=1 hold 2-3ms tenure=1; b: hold 4-5ms tenure=2")
    assert spans(trace) == [(0, 2 * MS, 3 * MS), (1, 4 * MS, 5 * MS)]
    assert "1 duplicate event left out." in notes(trace)


def test_holds_that_overlap() -> None:
    """The next tenure's acquire is proof that the GIL was free: the hold before it is cut."""
    trace = timeline("a: hold 0-6ms; b: hold 5-8ms")
    assert spans(trace) == [(0, 0, 5 * MS), (1, 5 * MS, 8 * MS)]
    assert notes(trace) == ["1 hold that ran into the next cut short."]


def test_the_clocks_skew_is_not_worth_a_word() -> None:
    """Up to a microsecond times give way to the order of tenures silently."""
    trace = timeline("a: hold 0-5000900ns; b: hold 5-8ms")
    assert spans(trace) == [(0, 0, 5 * MS), (1, 5 * MS, 8 * MS)]
    assert notes(trace) == []


def test_tenures_against_the_clock() -> None:
    """When numbers and times disagree about the order, the numbers are right."""
    trace = timeline("a: hold 5-6ms tenure=1; b: hold 1-2ms tenure=2 wait 2ms-")
    assert trace.holds.thread.tolist() == [0, 1]
    assert spans(trace) == [(0, 5 * MS, 5 * MS), (1, 5 * MS, 5 * MS)]
    # The thread cannot wait for the GIL before it has let it go.
    assert trace.waits.start.tolist() == [5 * MS]
    assert "1 event out of order in time moved to where the order allows." in notes(trace)


def test_a_threads_clock_runs_backwards() -> None:
    """Program order is certain: an earlier time after a later one is moved forward."""
    trace = timeline("a: hold 5-6ms tenure=1 hold 1-2ms tenure=2")
    assert spans(trace) == [(0, 5 * MS, 6 * MS), (0, 6 * MS, 6 * MS)]
    assert any("out of order" in note for note in notes(trace))


def test_a_wait_that_led_to_nothing() -> None:
    """A wait without an acquire ends with the thread's next event."""
    trace = timeline("a: hold 0-9ms; b: wait 1ms- wait 5ms- hold 9-10ms")
    assert trace.waits.end.tolist() == [5 * MS, 9 * MS]
    assert trace.waits.hold.tolist() == [-1, 1]
    assert notes(trace) == [
        "1 wait without an acquire on record: shown until the thread's next event."
    ]


def test_lost_events_break_a_thread_in_two() -> None:
    """What comes before lost events is not paired with what comes after them."""
    trace = timeline("a: hold 0-1ms acquire@2ms lost 4 release@8ms; b: hold 4-5ms tenure=3")
    assert spans(trace) == [
        (0, 0, 1 * MS),
        (0, 2 * MS, 4 * MS),
        (1, 4 * MS, 5 * MS),
        (0, 8 * MS, 8 * MS),
    ]
    assert trace.holds.cause.tolist()[1] == Cause.UNKNOWN
    # From 2 ms on nothing is known about thread a, so nothing is said about it being off the GIL.
    assert trace.off_gil.hold.tolist() == [0]
    assert notes(trace)[0] == (
        "4 events lost for want of buffer space: some holds and waits are missing or cut short."
    )
    assert trace.lost_events == 4


def test_one_lost_event_cannot_hide_a_tenure() -> None:
    """A tenure has an acquire and a release: with one event lost the pairs around it are sure."""
    trace = timeline("a: hold 0-7ms; b: wait 1-7ms lost 1 hold 7-9ms")
    assert trace.waits.hold.tolist() == [1]
    assert len(trace.off_gil) == 0


def test_no_stretch_off_the_gil_across_a_loss() -> None:
    """A thread that lost events may have held the GIL meanwhile."""
    trace = timeline("a: hold 0-1ms lost 7 hold 8-9ms tenure=4 hold 10-11ms")
    assert trace.off_gil.hold.tolist() == [1]


def test_loss_before_the_first_event() -> None:
    """A stream that begins with lost events did not hold the GIL when the recording began."""
    trace = timeline("a: lost 9 release@5ms")
    assert spans(trace) == [(0, 5 * MS, 5 * MS)]
    assert len(notes(trace)) == 2


def test_losses_on_several_gils() -> None:
    """Lost events break a thread's dealings with every GIL."""
    trace = timeline(
        "a: hold 0-1ms hold 2-3ms gil=1 lost 2 hold 5-6ms tenure=9 hold 7-8ms gil=1 tenure=8"
    )
    assert len(trace.off_gil) == 0


def test_the_process_counts_losses_too() -> None:
    """Losses that only the end record knows of are in the sum."""
    trace = timeline("process 100 lost=12; a: hold 0-1ms lost 2 hold 3-4ms tenure=4")
    assert (trace.lost_events, trace.processes[0].lost_events) == (12, 12)
    assert any(note.startswith("12 events lost") for note in notes(trace))


def test_events_of_unknown_kinds() -> None:
    """What a later version wrote is left out and counted."""
    trace = timeline("a: event@1ms kind=0 hold 2-3ms event@4ms kind=15 event@5ms kind=12 payload=3")
    assert spans(trace) == [(0, 2 * MS, 3 * MS)]
    assert notes(trace) == ["3 events of unknown kind left out (a newer giltrace wrote them)."]


def test_impossible_times() -> None:
    """An event beyond the year 2100 is left out."""
    made = Recording()
    process = made.process()
    process.acquire(process.thread("a"), (1 << 64) - 1, 1)
    process.acquire(0, 5, 2)
    process.end_ns = 9
    trace = build(made.capture())
    assert spans(trace) == [(0, 5, 9)]
    assert "1 event with an impossible time left out." in notes(trace)


@pytest.mark.parametrize("ns", [-(1 << 63), -1, (1 << 63) - 1])
def test_impossible_times_in_records(ns: int) -> None:
    """Records with absurd times are brought within reason."""
    made = recording("process 100; a: hold 1-2ms")
    process = made.processes[0]
    process.end_ns = ns
    process.gil(0, created_ns=ns)
    process.thread("b", start_ns=ns)
    trace = build(made.capture())
    assert check(trace) == []
    assert spans(trace) == [(0, 1 * MS, 2 * MS)]


def test_only_requests() -> None:
    """A drop request with nothing else around it is no reason to fail."""
    made = Recording()
    made.process().event(Kind.DROP_REQUEST, 0, 5, 1)
    trace = build(made.capture())
    assert (len(trace.holds), len(trace.waits), trace.drop_requests.hold.tolist()) == (0, 0, [-1])
    assert check(trace) == []


def test_what_the_file_lost_is_told() -> None:
    """Damage to the file itself is the first thing to know."""
    made = recording("a: hold 0-1ms; unfinished")
    source = made.capture()
    source.loss = type(source.loss)(
        bytes_skipped=1234, truncated=True, unknown_frames=2, events_unread=1
    )
    assert build(source).notes == (
        "The capture is cut off: what follows its last whole record is missing.",
        "1,234 bytes of the capture could not be read.",
        "2 records of an unknown type left out (a newer giltrace wrote the capture).",
        "The capture is too large: its last 1 event left out.",
        "The recorder has not finished: it died, or it is still recording.",
    )


def test_a_recorders_notes_come_along() -> None:
    """What the recorder says about a process is among the notes."""
    made = Recording()
    made.process(notes=["2 interpreters are not recorded."])
    assert "pid 100: 2 interpreters are not recorded." in build(made.capture()).notes
