"""The language in which the tests of the model are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from giltrace.capture import read
from giltrace.capture.events import Kind, unpack_event
from tests.support.timeline import capture, recording, write_capture


def events(*lines: str) -> list[tuple[int, str, int, int, int, int]]:
    """Thread, kind, time, payload, flags and GIL of each event of the first process."""
    (columns,) = capture(*lines).events.values()
    found = []
    for thread, ts, data in zip(columns.thread, columns.ts, columns.data, strict=True):
        event = unpack_event(ts.tobytes() + data.tobytes())
        name = Kind(event.kind).name
        found.append((int(thread), name, event.ts, event.payload, event.flags, event.gil))
    return found


def test_times() -> None:
    """All units, fractions, and ranges in which only the right side has a unit."""
    text = "a: hold 0-1.5us hold 2us-0.003ms hold 1-2s hold 7000000001-7000000002ns"
    times = [ts for _, _, ts, _, _, _ in events(text)]
    second = 1_000_000_000
    assert times == [0, 1500, 2000, 3000, second, 2 * second, 7 * second + 1, 7 * second + 2]


def test_tenures_are_numbered_by_time() -> None:
    """Acquires of each GIL are numbered from 1, across threads; or as the text says."""
    found = events(
        "a: hold 5-6ns hold 7-8ns gil=1; b: hold 1-2ns hold 9-10ns tenure=9 hold 11-12ns"
    )
    acquires = [
        (thread, gil, payload) for thread, kind, _, payload, _, gil in found if kind == "ACQUIRE"
    ]
    assert acquires == [(0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 0, 9), (1, 0, 10)]


def test_waits_and_requests_name_the_hold_in_the_way() -> None:
    """By default the tenure in force then; the text may say another."""
    found = events(
        "a: hold 0-5ns hold 5-8ns",
        "b: wait 1-8ns request@2ns request@6ns request@7ns names=4 hold 8-9ns",
    )
    named = [
        (kind, payload) for _, kind, _, payload, _, _ in found if kind in ("WAIT", "DROP_REQUEST")
    ]
    assert named == [("WAIT", 1), ("DROP_REQUEST", 1), ("DROP_REQUEST", 2), ("DROP_REQUEST", 4)]


def test_flags() -> None:
    """Synthetic ends and check points."""
    found = events("a: hold 0-1ns already check hold 2-3ns still hold 4-5ns")
    assert [flags for _, _, _, _, flags, _ in found] == [1, 2, 0, 1, 0, 0]


def test_single_events_and_losses() -> None:
    """Every event can be written by itself."""
    found = events(
        "a: acquire@1ns release@2ns wait@3ns request@4ns lost 5 event@6ns kind=5 payload=7"
    )
    assert [(kind, ts) for _, kind, ts, _, _, _ in found] == [
        ("ACQUIRE", 1),
        ("RELEASE", 2),
        ("WAIT", 3),
        ("DROP_REQUEST", 4),
        ("LOST", 0),
        ("FRAME", 6),
    ]
    assert [payload for _, kind, _, payload, _, _ in found if kind in ("LOST", "FRAME")] == [5, 7]


def test_calls_and_clocks() -> None:
    """A hold may name its call and descriptor, and show its thread's clock at either end."""
    found = events(
        "a: hold 1-2ns at a.py:1 from a.py:2 call=x.y fd=7 cpu=5-6ns hold 3-4ns cpu=-8ns call=z"
    )
    assert [(kind, ts, payload) for _, kind, ts, payload, _, _ in found] == [
        ("ACQUIRE", 1, 1),
        ("CPU", 1, 5),
        ("RELEASE", 2, 1 << 32 | 1),
        ("CPU", 2, 6),
        ("FRAME", 0, 1 << 16 | 1),
        ("DETAIL", 0, 7),
        ("ACQUIRE", 3, 2),
        ("RELEASE", 4, 2 << 32 | 0xFFFF_0000),
        ("CPU", 4, 8),
    ]
    made = capture("a: hold 1-2ns call=x.y hold 3-4ns call=z hold 5-6ns call=x.y")
    assert [(call.call, call.name) for call in made.calls] == [(1, "x.y"), (2, "z")]


def test_function_calls() -> None:
    """A span is two events where it stands, and says where its function begins."""
    found = events("a: hold 5-6ns span 1-9ns at a.py:7 in f depth=3 span 2-3ns; b: wait 3ns-")
    assert [(kind, ts, payload) for _, kind, ts, payload, _, _ in found[2:6]] == [
        ("SPAN", 1, 3 << 16 | 1),
        ("SPAN_END", 9, 3 << 16 | 1),
        ("SPAN", 2, 1 << 16),
        ("SPAN_END", 3, 1 << 16),
    ]
    (code,) = capture("a: span 1-9ns at a.py:7 in f").codes
    assert (code.filename, code.firstlineno, code.qualname) == ("a.py", 7, "f")


def test_a_thread_may_go_on() -> None:
    """Lines of one name, comments and several arguments make one thread."""
    assert len(events("a: hold 0-1ns # the first", "# nothing\n a: hold 2-3ns")) == 4


def test_files_are_what_captures_are(tmp_path: Path) -> None:
    """A capture written to a file and read again is the capture that is made directly."""
    text = """
        process 1 ppid=7 interval=1ms nogil
        gil 1 interpreter=3 created=1ms
        main: hold 0-7ms at spin.py:12:4-9 in spin from main.py:1 check cpu=0-1ms lost 3
        main: hold 8-9ms call=posix.read fd=3 span 1-9ms at spin.py:10 in spin
        process 2 end=none
        main: hold 1-2ms gil=1
    """
    made = recording(text).capture()
    found = read(write_capture(tmp_path / "a.giltrace", text))
    for name in ("processes", "threads", "gils", "codes", "calls", "process_ends", "end"):
        assert getattr(made, name) == getattr(found, name)
    for process, columns in made.events.items():
        for name in ("ts", "data", "thread"):
            assert getattr(columns, name).tolist() == getattr(found.events[process], name).tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: hold 0-7", "not a time: '7'"),
        ("a: hold 7ms", "not an item: hold 7ms"),
        ("a: hold 0-1.5ns", "not a whole number"),
        ("a: sleep 1-2ms", "not an item: 'sleep'"),
        ("a: hold 0-1ms at server", "not FILE:LINE: 'server'"),
        ("a: hold 0-1ms upside-down", "not understood after 'hold': 'upside-down'"),
        ("a: wait 1-7ms hold 8-9ms", "no hold of its thread begins then"),
        ("a: wait 1-7ms", "no hold of its thread begins then"),
        ("hold 1-7ms", "not a thread, a process or a GIL"),
        ("process 1 colour=red", "a process has no 'colour'"),
    ],
)
def test_slips_are_found(text: str, said: str) -> None:
    """A slip in a text is an error, with the word that is wrong."""
    with pytest.raises(ValueError, match=re.escape(said)):
        recording(text)
