"""The CSV format."""

from __future__ import annotations

import csv
import io

import pytest

from giltrace.export.csv import CsvExporter
from giltrace.model.builder import build
from giltrace.model.text import printable
from giltrace.model.trace import Trace
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline


def exported(trace: Trace) -> str:
    """The file as text."""
    out = io.BytesIO()
    CsvExporter().write(trace, out)
    return out.getvalue().decode()


def test_one_row_for_each_event() -> None:
    """Waits, drop requests, acquires and releases each make a row, in the order of time."""
    trace = timeline(
        "main: hold 0-7ms at spin.py:12 in spin check",
        "io: wait 1-7ms request@6ms hold 7-8ms at server.py:41 in handle",
    )
    assert exported(trace) == (
        "ts_ns,pid,tid,thread,gil,event,cause,where\n"
        "0,100,100,main,0,acquire,,\n"
        "1000000,100,101,io,0,wait,,\n"
        "6000000,100,101,io,0,drop_request,,\n"
        "7000000,100,100,main,0,release,forced,spin.py:12 in spin\n"
        "7000000,100,101,io,0,acquire,,\n"
        "8000000,100,101,io,0,release,voluntary,server.py:41 in handle\n"
    )


def test_a_hold_that_is_cut_off() -> None:
    """A hold that goes on when recording stops is released there, with the cause none."""
    trace = timeline("main: hold 0-7ms at spin.py:12 in spin still")
    assert (
        exported(trace).splitlines()[-1] == "7000000,100,100,main,0,release,none,spin.py:12 in spin"
    )


def test_an_empty_trace_has_a_header() -> None:
    """Without events there is the header alone."""
    assert (
        exported(timeline("process 100 end=2s")) == "ts_ns,pid,tid,thread,gil,event,cause,where\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_are_quoted(name: str) -> None:
    """Whatever a name is, a CSV reader finds one printable field."""
    recording = Recording()
    process = recording.process(100)
    thread = process.thread(name)
    process.acquire(thread, 1, 1)
    process.release(thread, 2, Spot(name, 3, name))
    trace = build(recording.capture())
    rows = list(csv.reader(io.StringIO(exported(trace)), strict=True))
    assert [len(row) for row in rows] == [8, 8, 8]
    assert rows[1][3] == printable(name or "thread 100")
    assert rows[2][7] == printable(str(trace.places[1]), 200)


def test_gil_numbers_and_processes() -> None:
    """A GIL is named by its process and its number there."""
    trace = timeline("process 100", "A: hold 0-1ns gil=2", "process 200", "B: hold 3-4ns")
    rows = list(csv.reader(io.StringIO(exported(trace))))[1:]
    assert [(row[1], row[4]) for row in rows] == [("100", "2")] * 2 + [("200", "0")] * 2


def test_large_trace_is_sorted_and_complete() -> None:
    """Many batches follow each other without a seam."""
    trace = build(synthetic(100_000))
    rows = list(csv.DictReader(io.StringIO(exported(trace))))
    times = [int(row["ts_ns"]) for row in rows]
    assert times == sorted(times)
    counts = {
        "acquire": len(trace.holds),
        "release": len(trace.holds),
        "wait": len(trace.waits),
        "drop_request": len(trace.drop_requests),
    }
    assert counts == {event: sum(row["event"] == event for row in rows) for event in counts}
