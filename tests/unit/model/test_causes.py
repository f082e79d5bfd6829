"""Forced, voluntary, or not to be proven."""

from __future__ import annotations

import pytest

from giltrace.model import Cause, check
from tests.support.timeline import timeline


def cause(text: str, hold: int = 0) -> Cause:
    """The cause of one hold of a timeline."""
    trace = timeline(text)
    assert check(trace) == []
    return Cause(trace.holds.cause[hold])


@pytest.mark.parametrize(
    ("main", "io", "expected"),
    [
        ("hold 0-7ms check", "wait 1-7ms request@6ms hold 7-8ms", Cause.FORCED),
        ("hold 0-7ms", "wait 1-7ms request@6ms hold 7-8ms", Cause.UNKNOWN),
        ("hold 0-7ms call", "wait 1-7ms request@6ms hold 7-8ms", Cause.VOLUNTARY),
        ("hold 0-7ms check call", "wait 1-7ms request@6ms hold 7-8ms", Cause.VOLUNTARY),
        ("hold 0-7ms", "wait 1-7ms hold 7-8ms", Cause.VOLUNTARY),
        ("hold 0-7ms check", "wait 1-7ms hold 7-8ms", Cause.VOLUNTARY),
        ("hold 0-7ms", "hold 8-9ms", Cause.VOLUNTARY),
        ("hold 0-7ms still check", "wait 1-7ms request@6ms hold 7-8ms", Cause.NONE),
        ("hold 0-7ms already check", "wait 1-7ms request@6ms hold 7-8ms", Cause.FORCED),
    ],
)
def test_rules(main: str, io: str, expected: Cause) -> None:
    """A request and a check prove force; no request, or a call, the thread's own will."""
    assert cause(f"main: {main}; io: {io}") == expected


def test_a_request_counts_only_for_the_hold_it_names() -> None:
    """A request to an earlier or later tenure says nothing about this one."""
    text = "main: hold 0-5ms check hold 5-9ms check; io: wait 1-9ms request@{} hold 9-10ms"
    causes = [[cause(text.format(when), hold) for hold in (0, 1)] for when in ("4ms", "6ms")]
    assert causes == [[Cause.FORCED, Cause.VOLUNTARY], [Cause.VOLUNTARY, Cause.FORCED]]


def test_a_request_after_the_end_proves_nothing() -> None:
    """A request that names a hold which had ended by then is no evidence."""
    trace = timeline("main: hold 0-5ms check; io: wait 1ms- request@6ms names=1")
    assert [Cause.VOLUNTARY] == trace.holds.cause.tolist()
    assert [-1] == trace.drop_requests.hold.tolist()
    assert "1 drop request for a hold that is not on record." in trace.notes[0]


def test_the_clocks_skew_is_forgiven() -> None:
    """A request that seems to come a few nanoseconds after the hold's end is inside it."""
    trace = timeline("main: hold 0-5ms check; io: wait 1ms- request@5000500ns names=1")
    assert [Cause.FORCED] == trace.holds.cause.tolist()
    assert [5_000_000] == trace.drop_requests.ts.tolist()
    assert trace.notes == ()
    assert check(trace) == []


def test_nobody_asks_itself() -> None:
    """A request that names the requester's own hold is an error, and no evidence."""
    trace = timeline("main: hold 0-5ms check request@3ms names=1")
    assert [-1] == trace.drop_requests.hold.tolist()


def test_a_waiters_losses_hide_its_requests() -> None:
    """While a waiter lost events it may have made a request: nothing is proven by its absence."""
    text = "main: hold 0-7ms; io: wait 1-7ms lost 1 hold 7-8ms"
    assert cause(text) == Cause.UNKNOWN


def test_losses_elsewhere_do_not_matter() -> None:
    """Events lost before or after a hold say nothing about it, and its holder makes no request."""
    text = "main: hold 0-3ms hold 4-5ms hold 6-7ms; io: hold 3-4ms lost 4 hold 5-6ms"
    trace = timeline(text)
    assert [
        Cause.VOLUNTARY,
        Cause.VOLUNTARY,
        Cause.UNKNOWN,
        Cause.VOLUNTARY,
        Cause.VOLUNTARY,
    ] == trace.holds.cause.tolist()


def test_losses_cannot_undo_a_proof() -> None:
    """A request and a check on record prove force whatever else was lost."""
    text = "main: hold 0-7ms check; io: wait 1-7ms request@6ms lost 1 hold 7-8ms"
    assert cause(text) == Cause.FORCED


def test_a_lost_release() -> None:
    """Nothing is known about a release that is not there."""
    assert cause("main: hold 0ms-; io: hold 5-6ms") == Cause.UNKNOWN


def test_a_hold_without_a_number() -> None:
    """No request can name a hold whose number is not known, so their absence proves nothing."""
    text = "a: hold 0-1ms lost 9 release@5ms; b: hold 8-9ms tenure=7"
    assert cause(text, hold=1) == Cause.UNKNOWN
