"""Priorities of threads over time, and early drop requests."""

from __future__ import annotations

from giltrace.model import check
from tests.support.timeline import timeline

MS = 1_000_000
MINUS_ONE = (1 << 32) - 1


def test_changes_are_in_order_by_thread() -> None:
    """Before its first change a thread has priority 0; a number below 0 keeps its sign."""
    trace = timeline(
        f"""
        main: hold 0-1ms event@1ms kind=11 payload=3 hold 2-3ms
        io:   hold 1-2ms event@2ms kind=11 payload={MINUS_ONE} hold 3-4ms
        io:   event@4ms kind=11 payload=7 hold 5-6ms
        """
    )
    changes = trace.priorities
    assert changes.thread.tolist() == [0, 1, 1]
    assert changes.ts.tolist() == [1 * MS, 2 * MS, 4 * MS]
    assert changes.priority.tolist() == [3, -1, 7]
    assert [changes.at(1, ts * MS) for ts in (1, 2, 3, 4, 9)] == [0, -1, -1, 7, 7]
    assert changes.at(0, 0) == 0 and changes.at(2, 5) == 0
    assert list(check(trace)) == []


def test_early_requests_are_told_from_others() -> None:
    """The flag of the event is a column of the drop requests."""
    trace = timeline(
        """
        main: hold 0-9ms
        io: wait 1-9ms request@6ms hold 9-10ms
        """
    )
    assert trace.drop_requests.early.tolist() == [False]
    assert trace.priorities.priority.tolist() == []
