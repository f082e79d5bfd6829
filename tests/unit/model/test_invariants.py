"""`check` finds what is wrong: a trace is broken on purpose, one column at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from giltrace.model import Trace, check
from tests.support.timeline import timeline

MS = 1_000_000


@pytest.fixture
def trace() -> Trace:
    """Two threads that pass the GIL to and fro."""
    return timeline(
        """
        a: hold 0-7ms check cpu=0-5ms   wait 8-9ms hold 9-10ms cpu=5ms-6ms
        a: span 1-4ms depth=2 span 5-6ms depth=2 span 1-9ms
        b: wait 1-7ms request@6ms hold 7-9ms
        """
    )


def broken(trace: Trace, where: str, row: int, value: int) -> list[str]:
    """What `check` says after one value of one column (``table.column``) was changed."""
    table, _, column = where.partition(".")
    columns = getattr(trace, table)
    values = getattr(columns, column).copy()
    values[row] = value
    changed: dict[str, Any] = {table: replace(columns, **{column: values})}
    return check(replace(trace, **changed))


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("holds.gil", 0, 1, "Holds.gil out of range"),
        ("waits.thread", 0, -1, "Waits.thread out of range"),
        ("holds.place", 1, 9, "Holds.place out of range"),
        ("holds.stack", 1, 9, "Holds.stack out of range"),
        ("holds.cause", 1, 4, "Holds.cause out of range"),
        ("holds.call", 1, 1, "Holds.call out of range"),
        ("holds.fd", 1, -2, "Holds.fd out of range"),
        ("cpu.thread", 0, 2, "CpuReadings.thread out of range"),
        ("spans.thread", 0, -1, "FunctionSpans.thread out of range"),
        ("spans.place", 0, 1, "FunctionSpans.place out of range"),
        ("spans.depth", 0, 0, "FunctionSpans.depth out of range"),
        ("waits.hold", 0, 3, "Waits.hold out of range"),
        ("drop_requests.hold", 0, -2, "DropRequests.hold out of range"),
        ("holds.start", 1, 6 * MS, "a GIL has two holders at once"),
        ("holds.end", 1, 6 * MS, "a hold ends before it begins"),
        ("holds.tenure", 1, 1, "tenure numbers of a GIL do not ascend"),
        ("holds.end", 2, 11 * MS, "outside the time that GIL 0 was watched"),
        ("waits.start", 0, -1, "outside the time that GIL 0 was watched"),
        ("waits.start", 0, 9 * MS, "waits are not sorted by start"),
        ("waits.end", 0, 6 * MS, "a wait does not end at its hold"),
        ("waits.hold", 0, 2, "several waits led to one hold"),
        ("waits.thread", 0, 0, "a wait led to the hold of another thread or GIL"),
        ("waits.start", 1, 6 * MS, "a thread waits for, or holds, a GIL twice at once"),
        ("drop_requests.ts", 0, 8 * MS, "a drop request is not inside the hold it names"),
        ("drop_requests.thread", 0, 0, "a thread asks itself to drop the GIL"),
        ("cpu.thread", 0, 1, "CPU readings are not sorted by thread"),
        ("cpu.ts", 1, 0, "CPU readings are not in time"),
        ("cpu.cpu_ns", 2, 4 * MS, "a CPU clock runs backwards"),
        ("spans.thread", 0, 1, "function calls are not sorted by thread"),
        ("spans.start", 2, 0, "function calls are not sorted by start"),
        ("spans.start", 0, 2 * MS, "function calls are not sorted by start"),
        ("spans.end", 2, 4 * MS, "a function call ends before it begins"),
        ("spans.end", 0, 3 * MS, "an inner function call comes before an outer one"),
        ("spans.end", 1, 5_500_000, "a function call crosses another one"),
        ("spans.end", 0, 11 * MS, "a function call is outside the time its process was watched"),
    ],
)
def test_what_is_wrong_is_found(trace: Trace, column: str, row: int, value: int, said: str) -> None:
    """Each invariant, broken, is reported in words."""
    assert any(said in problem for problem in broken(trace, column, row, value))


def test_more_cpu_time_than_there_is(trace: Trace) -> None:
    """Neither a hold nor a stretch off the GIL takes more CPU time than it lasts."""
    shares, off = trace.running, trace.off_gil
    too_much = replace(trace)
    vars(too_much)["running"] = replace(shares, not_running_ns=shares.not_running_ns + 8 * MS)
    vars(too_much)["off_gil"] = replace(off, cpu_ns=off.cpu_ns + 8 * MS, kind=off.kind + 9)
    assert [problem.partition(":")[0] for problem in check(too_much)] == [
        "a thread did not run for longer than a hold lasted",
        "OffGil.kind out of range",
        "more CPU time than a stretch lasts",
    ]


def test_nothing_is_wrong(trace: Trace) -> None:
    """A sound trace has no problems."""
    assert check(trace) == []


def test_how_often_and_where(trace: Trace) -> None:
    """A problem comes with its number and its first row."""
    values = np.full(3, -7, np.int32)
    worse = replace(trace, holds=replace(trace.holds, place=values))
    assert check(worse) == ["Holds.place out of range: 3 times, first at row 0"]


def test_rows_of_two_processes() -> None:
    """A thread cannot hold the GIL of another process."""
    trace = timeline("process 1; a: hold 0-1ms; process 2; a: hold 0-1ms")
    assert "Holds: thread and GIL of two processes" in broken(trace, "holds.thread", 0, 1)[0]


def test_breaks(trace: Trace) -> None:
    """Breaks are holds."""
    assert "breaks" in check(replace(trace, breaks=np.array([3])))[0]


def test_columns_of_different_lengths(trace: Trace) -> None:
    """Columns of one table cannot differ in length."""
    with pytest.raises(ValueError, match="different lengths"):
        replace(trace.holds, tenure=np.zeros(2, np.int64))
