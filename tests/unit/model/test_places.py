"""Where holds were released: places, stacks and their text."""

from __future__ import annotations

import pytest

from giltrace.capture.events import LASTI_UNKNOWN, Kind, pack_data, pack_place
from giltrace.capture.records import CodeInfo
from giltrace.model import Place, build, check
from giltrace.model.stacks import Stacks
from tests.support.recording import Recording
from tests.support.timeline import recording, timeline


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("/srv/app/server.py", 41, "handle"), "server.py:41 in handle"),
        (Place("server.py", 41), "server.py:41"),
        (Place("server.py", 0, "handle"), "server.py in handle"),
        (Place("", 3, "handle"), "?:3 in handle"),
        (Place("<string>", 1, "<module>"), "<string>:1 in <module>"),
        (Place("/odd/", 1, "f"), "/odd/:1 in f"),
        (Place(), "unknown"),
    ],
)
def test_text(place: Place, text: str) -> None:
    """A place shows as much of its file's name, line and function as is known."""
    assert str(place) == text


def test_columns() -> None:
    """A place knows the very expression."""
    trace = timeline("main: hold 0-1ms at server.py:41:8-29 in handle")
    assert trace.places[1] == Place("server.py", 41, "handle", 8, 41, 29)


def test_equal_places_are_one() -> None:
    """The same position in two processes, or of two instructions, has one number."""
    text = "main: hold 0-1ms at a.py:1 in f hold 1-2ms at a.py:2 in f hold 2-3ms at a.py:1 in f"
    trace = timeline(f"process 1; {text}; process 2; {text}")
    assert trace.holds.place.tolist() == [1, 2, 1, 1, 2, 1]
    assert len(trace.places) == 3


def test_unknown_places() -> None:
    """No code, no record of the code, or no release: the place is number 0."""
    made = recording("main: hold 0-1ms hold 2-3ms at a.py:1; io: wait 3ms-")
    process = made.processes[0]
    process.acquire(0, 4_000_000, 3)
    process.event(Kind.RELEASE, 0, 5_000_000, pack_place(99, 0))
    process.acquire(0, 6_000_000, 4)
    process.end_ns = 9_000_000
    trace = build(made.capture())
    assert trace.holds.place.tolist() == [0, 1, 0, 0]
    assert str(trace.places[0]) == "unknown"


def test_a_function_without_a_line() -> None:
    """An instruction that is not known, or beyond the table, still has its function."""
    made = recording("main: hold 0-1ms at a.py:7 in f")
    process = made.processes[0]
    for i, lasti in enumerate((LASTI_UNKNOWN, 500)):
        process.acquire(0, 2_000_000 + 2 * i, 2 + i)
        process.event(Kind.RELEASE, 0, 2_000_001 + 2 * i, pack_place(1, lasti))
    trace = build(made.capture())
    assert [str(trace.places[place]) for place in trace.holds.place] == [
        "a.py:7 in f",
        "a.py in f",
        "a.py in f",
    ]
    assert trace.places[2] == Place("a.py", 0, "f")


def test_a_damaged_line_table() -> None:
    """Code with a line table that makes no sense has no lines."""
    made = recording("main: hold 0-1ms")
    made.extra.append(CodeInfo(0, 5, 1, "a.py", "f", b"\x00\xff\x00"))
    made.processes[0].acquire(0, 2_000_000, 2)
    made.processes[0].event(Kind.RELEASE, 0, 2_000_001, pack_place(5, 1))
    assert str(build(made.capture()).places[1]) == "a.py in f"


def test_every_code_and_instruction() -> None:
    """Pairs of 16-bit numbers are resolved one by one, however many there are."""
    made = Recording()
    process = made.process()
    process.thread("main")
    for i in range(3000):
        process.acquire(0, 2 * i, i + 1)
        word = pack_place(i % 50 * 1300 + 1, i * 21 % 65536)
        process.event(Kind.RELEASE, 0, 2 * i + 1, word)
    made.extra += [CodeInfo(0, code * 1300 + 1, 1, "a.py", f"f{code}", b"") for code in range(50)]
    trace = build(made.capture())
    assert [trace.places[place].qualname for place in trace.holds.place] == [
        f"f{i % 50}" for i in range(3000)
    ]


def test_stacks() -> None:
    """Callers are a tuple of places, innermost first, and equal stacks have one number."""
    made = recording(
        """
        a: hold 0-1ms at d.py:4 in d from c.py:3 in c from b.py:2 in b from a.py:1 in a
        a: hold 1-2ms at d.py:4 in d from c.py:3 in c
        a: hold 2-3ms at d.py:4 in d
        b: hold 3-4ms at x.py:9 in x from c.py:3 in c from b.py:2 in b from a.py:1 in a
        """
    )
    trace = build(made.capture())
    texts = [
        [trace.places[place].qualname for place in trace.stacks[stack]]
        for stack in trace.holds.stack
    ]
    assert texts == [["c", "b", "a"], ["c"], [], ["c", "b", "a"]]
    assert trace.holds.stack[0] == trace.holds.stack[3]
    assert trace.holds.stack[2] == 0
    assert check(trace) == []


def test_stacks_of_a_recursion() -> None:
    """Frames that look alike are frames all the same: they are no repeated events."""
    callers = " ".join(["from fib.py:2 in fib"] * 9)
    trace = timeline(f"a: hold 0-1ms at fib.py:2 in fib {callers} hold 1-2ms")
    assert len(trace.stacks[int(trace.holds.stack[0])]) == 9
    assert trace.notes == ()


def test_frames_without_a_release() -> None:
    """Frames belong to the release right before them, and without one to nothing."""
    made = recording("a: hold 0-1ms at a.py:1; b: hold 2-3ms")
    process = made.processes[0]
    frame = process.events[0][0], 7, pack_data(Kind.FRAME, pack_place(1, 0))
    process.events.insert(0, frame)
    process.events.append((1, 2_000_000, pack_data(Kind.LOST, 3)))
    process.events.append((1, *frame[1:]))
    trace = build(made.capture())
    assert trace.holds.stack.tolist() == [0, 0]
    assert check(trace) == []


def test_stacks_without_bottom() -> None:
    """However many frames a damaged file claims for one release, a bounded number is kept."""
    made = recording("a: hold 0-1ms at a.py:1")
    frame = pack_data(Kind.FRAME, pack_place(1, 0))
    made.processes[0].events += [(0, pack_place(1, 0), frame)] * 1000
    trace = build(made.capture())
    assert len(trace.stacks[int(trace.holds.stack[0])]) == 256


def test_stacks_as_a_sequence() -> None:
    """Stacks are tuples by number, from either end and in slices."""
    stacks = Stacks([0, 0, 1], [0, 5, 6])
    assert (stacks[0], stacks[1], stacks[2], stacks[-1]) == ((), (5,), (5, 6), (5, 6))
    assert stacks[1:] == [(5,), (5, 6)]
    assert list(stacks) == [(), (5,), (5, 6)]
    with pytest.raises(IndexError):
        stacks[3]
