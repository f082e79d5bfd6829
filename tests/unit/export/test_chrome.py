"""The Chrome trace event format."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from giltrace.export.chrome import ChromeExporter
from giltrace.model.builder import build
from giltrace.model.text import printable
from giltrace.model.trace import Trace
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline


def exported(trace: Trace) -> list[dict[str, Any]]:
    """The events of the file; numbers with a fraction are left as text."""
    out = io.BytesIO()
    ChromeExporter().write(trace, out)
    found: list[dict[str, Any]] = json.loads(out.getvalue().decode(), parse_float=str)
    return found


def names(events: list[dict[str, Any]], what: str) -> dict[tuple[int, int], str]:
    """Process and thread id to name."""
    return {
        (event["pid"], event.get("tid", 0)): event["args"]["name"]
        for event in events
        if event["ph"] == "M" and event["name"] == f"{what}_name"
    }


def test_a_handoff() -> None:
    """States, arguments and the arrow of one hand-off, with all nanoseconds."""
    trace = timeline(
        "main: hold 0-7000001ns at spin.py:12 in spin check",
        "io: wait 1000-7000003ns request@6000000ns hold 7000003-8000000ns at server.py:41 in f",
    )
    events = exported(trace)
    main = [event for event in events if event["ph"] != "M" and event.get("tid") == 100]
    io_ = [event for event in events if event["ph"] != "M" and event.get("tid") == 101]
    state = {"ph": "B", "pid": 100, "cat": "gil"}
    assert main == [
        state
        | {"tid": 100, "name": "holds GIL", "cname": "thread_state_running"}
        | {"ts": "0.000"},
        {"ph": "s", "pid": 100, "tid": 100, "cat": "gil", "name": "hand-off"}
        | {"id": 1, "ts": "7000.000"},
        {"ph": "E", "pid": 100, "tid": 100, "ts": "7000.001"}
        | {"args": {"cause": "forced", "where": "spin.py:12 in spin"}},
    ]
    assert io_ == [
        state
        | {"tid": 101, "name": "waiting for GIL", "cname": "terrible", "ts": "1.000"}
        | {"args": {"requests": 1, "blame": "main 100", "blame_where": "spin.py:12 in spin"}},
        {"ph": "E", "pid": 100, "tid": 101, "ts": "7000.003"},
        state
        | {"tid": 101, "name": "holds GIL", "cname": "thread_state_running"}
        | {"ts": "7000.003"},
        {"ph": "f", "bp": "e", "pid": 100, "tid": 101, "cat": "gil", "name": "hand-off"}
        | {"id": 1, "ts": "7000.003"},
        {"ph": "E", "pid": 100, "tid": 101, "ts": "8000.000"}
        | {"args": {"cause": "voluntary", "where": "server.py:41 in f"}},
    ]


def test_the_gil_is_a_process() -> None:
    """A pseudo-process has the holder, drop requests, utilisation and waiters of a GIL."""
    trace = timeline("main: hold 0-7ms check", "io: wait 1-7ms request@6ms hold 7-8ms")
    events = exported(trace)
    gil = next(pid for (pid, _), name in names(events, "process").items() if "GIL" in name)
    assert names(events, "process")[gil, 0] == "GIL (pid 100)"
    mine = [event for event in events if event.get("pid") == gil and event["ph"] != "M"]
    holders = [(e["ts"], e.get("name")) for e in mine if e["ph"] in "BE" and e["tid"] == 1]
    assert holders == [
        ("0.000", "main"),
        ("7000.000", None),
        ("7000.000", "io"),
        ("8000.000", None),
    ]
    waiters = [(e["ts"], e["args"]["threads"]) for e in mine if e.get("name") == "GIL waiters"]
    assert waiters == [("1000.000", 1), ("7000.000", 0)]
    [request] = [e for e in mine if e["ph"] == "i"]
    assert request["args"] == {"waiter": "io 101", "holder": "main 100"}


def test_what_the_reader_has_to_be_told() -> None:
    """Notes and lost events are in the file, and the notes are shown on the timeline."""
    trace = timeline("process 100 lost=17", "A: hold 0-1ms")
    found = exported(trace)
    assert found[0]["name"] == "dev.giltrace"
    assert found[0]["args"]["lost_events"] == "17"
    assert found[0]["args"]["notes"].splitlines() == list(trace.notes)
    assert [e["name"] for e in found if e["ph"] == "i"] == list(trace.notes)


def test_an_empty_trace_is_valid() -> None:
    """A capture without any process makes a file without events."""
    trace = build(Recording().capture())
    assert [e["ph"] for e in exported(trace)] == ["M", *["i"] * len(trace.notes)]


@pytest.mark.parametrize("name", NAMES)
def test_names_cannot_break_out(name: str) -> None:
    """Whatever a name is, the file is valid JSON and shows it harmlessly."""
    recording = Recording()
    process = recording.process(100, argv=[name])
    thread = process.thread(name)
    process.acquire(thread, 1, 1)
    process.release(thread, 2, Spot(name, 3, name))
    trace = build(recording.capture())
    events = exported(trace)
    assert names(events, "thread")[100, 100] == printable(name or "thread 100")
    [end] = [e for e in events if e["ph"] == "E" and e["pid"] == 100]
    assert end["args"]["where"] == printable(str(trace.places[1]), 200)


def test_large_trace_is_balanced_and_complete() -> None:
    """Over many batches each begin has its end, and each arrow its tail."""
    trace = build(synthetic(60_000))
    events = exported(trace)
    depth: dict[tuple[int, int], int] = defaultdict(int)
    for event in events:
        if event["ph"] in "BE":
            depth[event["pid"], event["tid"]] += 1 if event["ph"] == "B" else -1
            assert depth[event["pid"], event["tid"]] in (0, 1)
    assert set(depth.values()) == {0}
    count = Counter(event["name"] for event in events if event["ph"] == "B")
    assert count["holds GIL"] == len(trace.holds)
    assert count["waiting for GIL"] == len(trace.waits)
    assert count["off GIL"] + count["switching"] == len(trace.off_gil)
    tails, heads = ({event["id"] for event in events if event["ph"] == phase} for phase in "sf")
    assert tails == heads == set(trace.handoffs.acquire.tolist())


def test_calls_are_nested_and_carry_the_clock() -> None:
    """Off the GIL a slice names the call, and long holds carry the thread's CPU clock."""
    trace = timeline(
        "A: hold 0-1ms at a.py:1 in f call=_socket.socket.recv cpu=0-600us",
        "A: hold 9-10ms at a.py:2 in f cpu=600us-1ms",
    )
    mine = [e for e in exported(trace) if e.get("tid") == 100 and e["ph"] in "BE"]
    assert [(e["ph"], e["ts"], e.get("name"), e.get("tts")) for e in mine] == [
        ("B", "0.000", "holds GIL", "0.000"),
        ("E", "1000.000", None, "600.000"),
        ("B", "1000.000", "off GIL", None),
        ("B", "1000.000", "socket.recv", None),
        ("E", "9000.000", None, None),
        ("E", "9000.000", None, None),
        ("B", "9000.000", "holds GIL", "600.000"),
        ("E", "10000.000", None, "1000.000"),
    ]
    assert mine[3]["args"] == {"where": "a.py:1 in f", "call": "socket.recv"}
    assert mine[5]["args"] == {"kind": "blocked"}


def test_an_array_that_was_cut_short_has_whole_lines() -> None:
    """Each line is one event: viewers take an array without its end."""
    out = io.BytesIO()
    ChromeExporter().write(build(synthetic(3_000)), out)
    lines = out.getvalue().decode().splitlines()
    assert (lines[0], lines[-1]) == ("[", "]")
    for line in lines[1:-1]:
        assert json.loads(line.removesuffix(","))["ph"]
