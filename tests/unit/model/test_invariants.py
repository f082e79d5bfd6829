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
        a: hold 0-7ms check         wait 8-9ms hold 9-10ms
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
    ],
)
def test_what_is_wrong_is_found(trace: Trace, column: str, row: int, value: int, said: str) -> None:
    """Each invariant, broken, is reported in words."""
    assert any(said in problem for problem in broken(trace, column, row, value))


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
