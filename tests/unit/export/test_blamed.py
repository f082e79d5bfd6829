"""The one hold that is most to blame for a wait."""

from __future__ import annotations

import numpy as np
import pytest

from giltrace.analysis.blame import GAP, blame
from giltrace.export import blamed as module
from giltrace.export.blamed import blamed_holds
from giltrace.model.builder import build
from giltrace.model.trace import Trace
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline


def blamed(trace: Trace) -> list[tuple[str, str] | None]:
    """Waiter and holder of each wait."""
    holds = blamed_holds(trace, np.arange(len(trace.waits)))
    threads = trace.threads
    return [
        (
            threads[int(trace.waits.thread[wait])].name,
            threads[int(trace.holds.thread[hold])].name,
        )
        if hold >= 0
        else None
        for wait, hold in enumerate(holds.tolist())
    ]


def test_the_longest_part_counts() -> None:
    """Of several holds during a wait, the one that took most of it is blamed."""
    trace = timeline(
        "A: hold 0-10ns", "B: hold 10-13ns", "C: hold 13-17ns", "D: wait 8-17ns", "D: hold 17-18ns"
    )
    assert blamed(trace) == [("D", "C")]


def test_only_the_part_within_the_wait_counts() -> None:
    """A long hold of which the wait saw little is not blamed."""
    trace = timeline(
        "A: hold 0-100ns", "B: hold 100-103ns", "D: wait 99-103ns", "D: hold 103-104ns"
    )
    assert blamed(trace) == [("D", "B")]


def test_nobody_is_to_blame_for_a_gap() -> None:
    """A wait during which nobody held the GIL is blamed on no hold."""
    trace = timeline("A: hold 0-5ns", "B: wait 5-9ns hold 9-10ns")
    assert blamed(trace) == [None]


def test_a_wait_in_vain_is_blamed_too() -> None:
    """The wait need not have led to a hold."""
    trace = timeline("A: hold 0-10ns", "B: wait 4ns-")
    assert blamed(trace) == [("B", "A")]


@pytest.mark.parametrize("parts", [1, 100, 1 << 20])
def test_agrees_with_the_exact_split(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """For each wait it is the first of the longest parts that the analysis finds."""
    monkeypatch.setattr(module, "_PARTS", parts)
    trace = build(synthetic(5_000, threads=6))
    exact = blame(trace)
    expected = []
    for wait in range(len(trace.waits)):
        mine = np.flatnonzero((exact.wait == wait) & (exact.hold != GAP))
        longest = mine[np.argmax(exact.ns[mine])] if len(mine) else -1
        expected.append(int(exact.hold[longest]) if len(mine) else -1)
    assert expected == blamed_holds(trace, np.arange(len(trace.waits))).tolist()
