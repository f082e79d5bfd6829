"""Calls of Python functions."""

from __future__ import annotations

from giltrace.capture.events import Kind, pack_data, pack_span
from giltrace.model import Trace, build, check
from tests.support.recording import Recording
from tests.support.timeline import timeline

MS = 1_000_000


def shown(trace: Trace) -> list[tuple[int, int, int, str, int]]:
    """Thread, start and end in ms, function and depth of each call; the invariants hold."""
    assert check(trace) == []
    spans = trace.spans
    columns = (spans.thread, spans.start // MS, spans.end // MS, spans.place, spans.depth)
    return [
        (thread, start, end, str(trace.places[place]), depth)
        for thread, start, end, place, depth in zip(*(c.tolist() for c in columns), strict=True)
    ]


def notes(trace: Trace) -> list[str]:
    """The notes, without the name of the process."""
    return [note.removeprefix("pid 100: ") for note in trace.notes]


def test_calls_by_thread_and_start() -> None:
    """Calls are written when they end and shown by their start, outer ones first."""
    trace = timeline(
        """
        process 1
        a: hold 0-9ms at app.py:11 in main
        a: span 1-3ms at app.py:20 in f depth=2 span 3-4ms at app.py:30 in g depth=2
        a: span 1-8ms at app.py:10 in main
        b: span 2-5ms at app.py:20 in f
        process 2
        a: span 1-2ms
        """
    )
    assert shown(trace) == [
        (0, 1, 8, "app.py:10 in main", 1),
        (0, 1, 3, "app.py:20 in f", 2),
        (0, 3, 4, "app.py:30 in g", 2),
        (1, 2, 5, "app.py:20 in f", 1),
        (2, 1, 2, "unknown", 1),
    ]
    assert str(trace.places[int(trace.holds.place[0])]) == "app.py:11 in main"
    assert [thread.end_ns for thread in trace.threads] == [9 * MS, 5 * MS, 2 * MS]


def test_they_do_not_disturb_the_gils_events() -> None:
    """A call may begin long before the event before it: times of holds are not touched."""
    trace = timeline("a: hold 5-6ms span 0-7ms at a.py:1 in f hold 8-9ms; b: hold 6-8ms")
    assert trace.holds.start.tolist() == [5 * MS, 6 * MS, 8 * MS]
    assert notes(trace) == []


def test_without_a_gil() -> None:
    """An interpreter without a GIL has calls, threads, a beginning and an end."""
    trace = timeline("process 100 nogil end=none; a: span 1-3ms at a.py:1 in f")
    assert shown(trace) == [(0, 1, 3, "a.py:1 in f", 1)]
    assert (trace.gils, trace.processes[0].end_ns) == ((), 3 * MS)


def test_lost_events_tear_them_apart() -> None:
    """A call of which one half is missing is left out, and counted."""
    made = Recording()
    process = made.process()
    thread = process.thread("a")
    process.span(thread, 1 * MS, 2 * MS, None)
    del process.events[-1]
    process.lost(thread, 3)
    process.span(thread, 3 * MS, 4 * MS, None)
    process.event(Kind.SPAN, thread, 5 * MS, pack_span(0, 1))
    process.lost(thread, 1)
    process.event(Kind.SPAN_END, thread, 6 * MS, pack_span(0, 1))
    process.end_ns = 9 * MS
    trace = build(made.capture())
    assert [row[1:3] for row in shown(trace)] == [(3, 4)]
    said = "2 function calls left out: one end is missing, or it crosses another."
    assert said in notes(trace)


def test_halves_of_two_calls() -> None:
    """Two halves that say different things do not make a call."""
    made = Recording()
    process = made.process()
    process.events += [
        (0, 1, pack_data(Kind.SPAN, pack_span(0, 1))),
        (0, 2, pack_data(Kind.SPAN_END, pack_span(0, 2))),
        (1, 5, pack_data(Kind.SPAN_END, pack_span(0, 1))),
    ]
    assert len(build(made.capture()).spans) == 0


def test_calls_that_cross() -> None:
    """Of two calls that cross neither is shown; others are."""
    trace = timeline(
        "process 100 end=9ms",
        "a: span 1-4ms at a.py:1 in f depth=2 span 2-5ms at a.py:2 in g depth=2",
        "a: span 5-6ms at a.py:3 in h depth=2 span 0-7ms at a.py:4 in main",
    )
    assert [row[3] for row in shown(trace)] == ["a.py:4 in main", "a.py:3 in h"]
    assert notes(trace)[-1] == (
        "2 function calls left out: one end is missing, or it crosses another."
    )


def test_calls_that_are_there_twice() -> None:
    """A call that was written twice is shown once; at another depth it is another call."""
    text = "span 1-4ms at a.py:1 in f depth={}"
    twice = timeline(f"process 100 end=9ms; a: {text.format(2)} {text.format(2)} {text.format(1)}")
    assert [row[4] for row in shown(twice)] == [1, 2]
    assert "1 duplicate event left out." in notes(twice)


def test_impossible_calls() -> None:
    """A call that ends before it begins, or at no possible time, is left out; depth begins at 1."""
    made = Recording()
    process = made.process()
    process.span(0, 5, 4, None)
    process.span(0, 5, (1 << 62) + 1, None)
    process.span(0, 5, 6, None, depth=0)
    process.span(0, (1 << 64) - 1, 5, None)
    trace = build(made.capture())
    assert (trace.spans.start.tolist(), trace.spans.depth.tolist()) == ([5], [1])
    assert any("3 events with an impossible time" in note for note in trace.notes)
    assert check(trace) == []


def test_an_unknown_function() -> None:
    """A function whose code is not in the capture is at the unknown place."""
    made = Recording()
    process = made.process()
    process.events += [
        (0, 1, pack_data(Kind.SPAN, pack_span(77, 1))),
        (0, 2, pack_data(Kind.SPAN_END, pack_span(77, 1))),
    ]
    assert build(made.capture()).spans.place.tolist() == [0]
