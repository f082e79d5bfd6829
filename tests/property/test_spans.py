"""Calls of functions come back as they nested, and whatever is recorded, what is shown nests."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture.events import Kind, pack_data, pack_span
from giltrace.model import FunctionSpans, Trace, build, check
from giltrace.model.spans import nests
from tests.support.recording import ProcessRecording, Recording, Spot

CHECKED = settings(derandomize=True, deadline=None, max_examples=200)

Span = tuple[int, int, int, str, int]


def called(process: ProcessRecording, thread: int, numbers: list[int]) -> list[Span]:
    """Calls as numbers choose them: enter a function, or leave the innermost; time may stand still.

    Each is a function of its own. They come in the order of their starts, outer ones first.
    """
    now, made = 0, []
    stack: list[tuple[int, int, int]] = []
    for number, choice in enumerate([*numbers, *[1] * len(numbers)]):
        now += choice // 2 % 4
        if choice % 2 == 0:
            stack.append((now, number, len(stack) + 1))
        elif stack:
            start, function, depth = stack.pop()
            name = f"f{thread}_{function}"
            process.span(thread, start, now, Spot("app.py", function + 1, name), depth)
            made.append((function, (thread, start, now, f"app.py:{function + 1} in {name}", depth)))
    return [span for _, span in sorted(made)]


def shown(trace: Trace) -> list[Span]:
    """The calls of a trace."""
    spans = trace.spans
    columns = (spans.thread, spans.start, spans.end, spans.place, spans.depth)
    return [
        (thread, start, end, str(trace.places[place]), depth)
        for thread, start, end, place, depth in zip(*(c.tolist() for c in columns), strict=True)
    ]


def nested(spans: FunctionSpans) -> bool:
    """Whether every two calls of a thread are one in the other, or apart; slowly, but surely."""
    columns = (spans.thread.tolist(), spans.start.tolist(), spans.end.tolist())
    rows = list(zip(*columns, strict=True))
    for i, (thread, start, end) in enumerate(rows):
        for other, begin, finish in rows[i + 1 :]:
            if thread == other and begin < end < finish and start < begin:
                return False
    return True


@CHECKED
@given(st.lists(st.lists(st.integers(0, 15), max_size=30), min_size=1, max_size=3))
def test_calls_come_back_as_they_were(numbers: list[list[int]]) -> None:
    """All calls of several threads, each with its function and its depth, outer before inner."""
    recording = Recording()
    process = recording.process()
    expected = []
    for i, choices in enumerate(numbers):
        expected += called(process, process.thread(f"thread-{i}"), choices)
    trace = build(recording.capture())
    assert check(trace) == []
    assert sorted(expected) == sorted(shown(trace))
    longer = [span for span in expected if span[1] < span[2]]
    assert longer == [span for span in shown(trace) if span[1] < span[2]]
    assert not any("call" in note for note in trace.notes)


@CHECKED
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(-2, 12), st.integers(0, 3)),
        max_size=30,
    ),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=4),
)
def test_calls_that_cannot_be_are_left_out(
    rows: list[tuple[int, int, int, int]], damage: list[tuple[int, int]]
) -> None:
    """Of calls at random those that are left nest, and none that crosses no other is missing."""
    recording = Recording()
    process = recording.process()
    for name in ("a", "b", "c"):
        process.thread(name)
    for thread, start, length, depth in rows:
        payload = pack_span(0, depth)
        end = max(0, start + length)
        process.events.append((thread, start, pack_data(Kind.SPAN, payload)))
        process.events.append((thread, end, pack_data(Kind.SPAN_END, payload)))
    for where, what in damage:
        if process.events:
            i = where % len(process.events)
            if what == 0:
                del process.events[i]
            else:
                thread, ts, _ = process.events[i]
                process.events[i] = (thread, ts, pack_data(Kind.LOST, what))
    trace = build(recording.capture())
    assert check(trace) == []
    assert nested(trace.spans)
    if not damage:
        wanted = {(t, a, a + n) for t, a, n, _ in rows if n >= 0 and alone((t, a, a + n), rows)}
        assert wanted <= {row[:3] for row in shown(trace)}


def alone(span: tuple[int, int, int], rows: list[tuple[int, int, int, int]]) -> bool:
    """Whether no other call overlaps with this one at all."""
    thread, start, end = span
    others = [(a, a + n) for t, a, n, _ in rows if t == thread and n >= 0]
    others.remove((start, end))
    return all(b <= start or end <= a for a, b in others)


@CHECKED
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_what_nests_is_known(rows: list[tuple[int, int, int]]) -> None:
    """The check agrees with the slow way."""
    rows = sorted({(t, a, a + n) for t, a, n in rows}, key=lambda row: (row[0], row[1], -row[2]))
    zero = np.zeros(len(rows), np.int32)
    thread, start, end = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    spans = FunctionSpans(thread.astype(np.int32), start, end, zero, zero + 1)
    assert nested(spans) == bool(nests(spans).all())
