"""Who ended a wait for a lock: told where it must be so, and only there."""

from __future__ import annotations

import pytest

from giltrace.analysis.calls import table
from giltrace.analysis.woken import UNKNOWN, woken_by
from giltrace.capture.records import SourceText
from giltrace.model import Trace, build
from tests.support.timeline import recording

SOURCE = "lock.acquire()\nlock.acquire(True, timeout)\nwith lock:\ntime.sleep(1)"


def told(*lines: str) -> Trace:
    """A trace in which ``s.py`` is the source above."""
    made = recording(*lines)
    made.extra.append(SourceText("s.py", 1, SOURCE))
    return build(made.capture())


def waiter(line: int, end: int, call: str = "_thread.lock.acquire") -> str:
    """A thread that waits from 1 ms on, in a call at this line of the source."""
    columns = len(SOURCE.splitlines()[line - 1])
    return f"waiter: hold 0-1ms at s.py:{line}:0-{columns} in f call={call}  hold {end}-{end + 1}ms"


def test_the_only_one_who_can_have() -> None:
    """It held the GIL shortly before the waiter came back, and nobody else did."""
    trace = told(waiter(1, 9), "other: hold 5-9ms at o.py:1 in g call=time.sleep")
    (row,) = [row for row in table(trace) if row.thread == 0]
    assert [(trace.threads[who].name, times) for who, times in row.woken_by] == [("other", 1)]


@pytest.mark.parametrize(
    "lines",
    [
        # Two have held the GIL in the last millisecond.
        (waiter(1, 9), "a: hold 3-8.5ms at o.py:1 in g", "b: hold 8.6-9ms at o.py:1 in g"),
        # It may have been the timeout.
        (waiter(2, 9), "a: hold 5-9ms at o.py:1 in g"),
        # Nobody here: another process, or C code without the GIL.
        (waiter(1, 9), "a: hold 2-5ms at o.py:1 in g"),
        # A sleep ends by itself.
        (waiter(4, 9, "time.sleep"), "a: hold 5-9ms at o.py:1 in g"),
    ],
)
def test_what_cannot_be_told(lines: tuple[str, ...]) -> None:
    """Wherever there is another explanation, nothing is claimed."""
    trace = told(*lines)
    assert set(woken_by(trace).tolist()) <= {UNKNOWN}
    assert all(row.woken_by == () for row in table(trace))


def test_without_the_source_a_timeout_is_possible() -> None:
    """What stands at a place whose source is not there may be anything."""
    trace = build(recording(waiter(1, 9), "a: hold 5-9ms at o.py:1 in g").capture())
    assert set(woken_by(trace).tolist()) <= {UNKNOWN}
