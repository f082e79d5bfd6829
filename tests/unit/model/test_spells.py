"""Hand-offs and stretches off the GIL."""

from __future__ import annotations

from giltrace.model import check
from tests.support.timeline import timeline

MS = 1_000_000


def test_handoffs() -> None:
    """A hand-off goes to another thread, on the same GIL, and its latency is the gap."""
    trace = timeline(
        """
        a: hold 0-1ms          hold 5-6ms hold 6-7ms gil=1
        b:            hold 3-4ms
        """
    )
    assert trace.handoffs.release.tolist() == [0, 1]
    assert trace.handoffs.acquire.tolist() == [1, 2]
    assert trace.handoffs.latency.tolist() == [2 * MS, 1 * MS]


def test_a_reacquire_is_no_handoff() -> None:
    """The same thread again is a reacquire."""
    assert len(timeline("a: hold 0-1ms hold 2-3ms; b: hold 8-9ms").handoffs) == 1


def test_no_handoff_across_missing_tenures() -> None:
    """When tenures are missing between two holds nobody knows who came next."""
    assert len(timeline("a: hold 0-1ms; b: hold 8-9ms tenure=4").handoffs) == 0


def test_off_gil() -> None:
    """Off the GIL is from a release to the next request: a wait, or an uncontended acquire."""
    trace = timeline(
        """
        a: hold 0-1ms          hold 5-6ms
        b: hold 2-4ms wait 5-6ms hold 6-7ms
        """
    )
    off = trace.off_gil
    assert off.thread.tolist() == [0, 1]
    assert (off.start.tolist(), off.end.tolist()) == ([1 * MS, 4 * MS], [5 * MS, 5 * MS])
    assert (off.hold.tolist(), off.next_wait.tolist()) == ([0, 1], [-1, 0])
    assert off.ns.tolist() == [4 * MS, 1 * MS]


def test_off_each_gil() -> None:
    """Stretches are told for each GIL by itself, by thread, then GIL, then time."""
    trace = timeline(
        "a: hold 0-1ms hold 1-2ms gil=1 hold 3-4ms hold 5-6ms gil=1; b: hold 2-3ms hold 6-7ms"
    )
    off = trace.off_gil
    assert (off.thread.tolist(), off.gil.tolist()) == ([0, 0, 1], [0, 1, 0])
    assert (off.start.tolist(), off.end.tolist()) == (
        [1 * MS, 2 * MS, 3 * MS],
        [3 * MS, 5 * MS, 6 * MS],
    )


def test_a_wait_in_vain_ends_a_stretch() -> None:
    """A thread that asked for the GIL was not off it, whether it got it or not."""
    trace = timeline("a: hold 0-9ms; b: hold 9-10ms wait 12ms- ; a: hold 11-20ms; c: wait 13ms-")
    off = trace.off_gil
    assert off.thread.tolist() == [0, 1]
    assert off.end.tolist() == [11 * MS, 12 * MS]
    assert off.next_wait.tolist() == [-1, 0]
    assert check(trace) == []


def test_only_the_first_wait_in_vain_counts() -> None:
    """Two waits in vain after one hold end one stretch."""
    trace = timeline("b: hold 0-1ms wait 2ms- wait 4ms- hold 6-7ms; a: hold 1-5ms")
    assert (trace.off_gil.end.tolist(), trace.off_gil.next_wait.tolist()) == ([2 * MS], [0])


def test_the_last_release_begins_nothing() -> None:
    """What follows a thread's last release may be blocking or its end: it is not told."""
    assert len(timeline("process 1 end=99ms; a: hold 0-1ms").off_gil) == 0
