"""Whose hold each wait fell on."""

from __future__ import annotations

import pytest

from giltrace.analysis import blame as module
from giltrace.analysis.blame import GAP, BlamePart, BlameRow, WorstWait, blame, table, worst_waits
from giltrace.model import Trace, build
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline

MS = 1_000_000

THREE = """
    cpu: hold 0-7ms at spin.py:12 check                    wait 9-12ms hold 13-14ms at spin.py:12
    io:  wait 1-8ms request@6ms hold 8-10ms at server.py:41
    bg:  wait 5-10ms hold 10-12ms at bg.py:3
"""
FIXED = THREE.replace("wait 9-12ms hold 13-14ms", "wait 9-13ms hold 13-14ms")


@pytest.fixture
def trace() -> Trace:
    """Three threads; in the gaps from 7 to 8 ms and from 12 to 13 ms nobody holds the GIL."""
    return timeline(FIXED)


def parts(trace: Trace) -> list[tuple[int, int, int]]:
    """Wait, hold and milliseconds of each part."""
    split = blame(trace)
    columns = (split.wait.tolist(), split.hold.tolist(), (split.ns // MS).tolist())
    return list(zip(*columns, strict=True))


def test_waits_are_split_over_holds(trace: Trace) -> None:
    """By wait, then by time, and the gap last."""
    assert parts(trace) == [
        (0, 0, 6),
        (0, GAP, 1),
        (1, 0, 2),
        (1, 1, 2),
        (1, GAP, 1),
        (2, 1, 1),
        (2, 2, 2),
        (2, GAP, 1),
    ]


def test_table(trace: Trace) -> None:
    """By waiter, holder and place, the dearest row first."""
    spin, server, bg = (int(trace.holds.place[i]) for i in range(3))
    assert table(trace) == [
        BlameRow(waiter=1, holder=0, place=spin, call=0, wait_ns=6 * MS, waits=1),
        BlameRow(waiter=0, holder=2, place=bg, call=0, wait_ns=2 * MS, waits=1),
        BlameRow(waiter=2, holder=0, place=spin, call=0, wait_ns=2 * MS, waits=1),
        BlameRow(waiter=2, holder=1, place=server, call=0, wait_ns=2 * MS, waits=1),
        BlameRow(waiter=0, holder=None, place=0, call=0, wait_ns=1 * MS, waits=1),
        BlameRow(waiter=0, holder=1, place=server, call=0, wait_ns=1 * MS, waits=1),
        BlameRow(waiter=1, holder=None, place=0, call=0, wait_ns=1 * MS, waits=1),
        BlameRow(waiter=2, holder=None, place=0, call=0, wait_ns=1 * MS, waits=1),
    ]


def test_a_wait_counts_once_for_a_place() -> None:
    """A wait that met one holder at one place again and again is one wait."""
    trace = timeline(
        """
        cpu: hold 0-2ms at a.py:1 hold 2-4ms at a.py:1 hold 4-6ms at a.py:9
        io:  wait 1-6ms hold 6-7ms
        """
    )
    assert [(row.wait_ns, row.waits) for row in table(trace)] == [(3 * MS, 1), (2 * MS, 1)]


def test_worst_waits(trace: Trace) -> None:
    """The longest first, each with its parts, the largest first."""
    assert worst_waits(trace, 2) == [
        WorstWait(0, 7 * MS, (BlamePart(0, 6 * MS), BlamePart(GAP, 1 * MS))),
        WorstWait(1, 5 * MS, (BlamePart(0, 2 * MS), BlamePart(1, 2 * MS), BlamePart(GAP, 1 * MS))),
    ]


def test_worst_waits_with_few_parts(trace: Trace) -> None:
    """What is not listed is summed up."""
    assert worst_waits(trace, 1, parts=1) == [WorstWait(0, 7 * MS, (BlamePart(0, 6 * MS),), 1 * MS)]


@pytest.mark.parametrize("n", [-1, 0, 99])
def test_any_number_of_worst_waits(trace: Trace, n: int) -> None:
    """Fewer than none are none, and more than there are are all."""
    assert len(worst_waits(trace, n)) == (3 if n > 0 else 0)


def test_nothing_to_blame() -> None:
    """Without waits there is no blame."""
    for text in ("", "a: hold 0-1ms hold 2-3ms"):
        trace = timeline(text)
        assert (len(blame(trace)), table(trace), worst_waits(trace, 5)) == (0, [], [])


def test_a_wait_in_vain() -> None:
    """A wait that never acquired falls on all holds up to its end."""
    trace = timeline("process 1 end=9ms; a: hold 0-3ms hold 5ms-; b: wait 1ms-")
    assert parts(trace) == [(0, 0, 2), (0, 1, 4), (0, GAP, 2)]


def test_several_gils() -> None:
    """A wait for one GIL has nothing to do with the holds of another."""
    trace = timeline(
        """
        a: hold 0-9ms; b: hold 0-8ms gil=1
        c: wait 1-9ms hold 9-10ms; d: wait 2-8ms gil=1 hold 8-9ms gil=1
        process 2
        a: hold 0-5ms; b: wait 3-5ms hold 5-6ms
        """
    )
    assert parts(trace) == [(0, 0, 8), (1, 2, 6), (2, 4, 2)]


def test_some_waits_only(trace: Trace) -> None:
    """Blame can be asked for a few waits."""
    every = blame(trace)
    some = blame(trace, every.wait[-1:])
    assert some.wait.tolist() == [2, 2, 2]
    assert some.ns.tolist() == every.ns[-3:].tolist()


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is the same, however small the pieces in which it is made."""
    trace = build(synthetic(7_000))
    expected = table(trace)
    monkeypatch.setattr(module, "_PIECE", 10)
    assert expected == table(trace)
    assert sum(row.wait_ns for row in expected) == int(trace.waits.ns.sum())


def test_by_line_what_is_at_hand_in_it_does_not_matter() -> None:
    """Places in one line of a function are one row, and its waits still count once."""
    trace = timeline(
        """
        cpu: hold 0-2ms at a.py:1:0-3 in f hold 2-4ms at a.py:1:5-9 in f
        cpu: hold 4-5ms at a.py:1:0-3 in g hold 5-6ms at b.py:1:0-3 in f
        io:  wait 1-6ms hold 6-7ms
        """
    )
    assert [(row.wait_ns, row.waits) for row in table(trace)] == [
        (2 * MS, 1), (1 * MS, 1), (1 * MS, 1), (1 * MS, 1)
    ]  # fmt: skip
    rows = table(trace, by_line=True)
    assert [(str(trace.places[row.place]), row.wait_ns, row.waits) for row in rows] == [
        ("a.py:1 in f", 3 * MS, 1),
        ("a.py:1 in g", 1 * MS, 1),
        ("b.py:1 in f", 1 * MS, 1),
    ]
