"""The times above the lanes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.tui.view.ruler import clock, step_ns, ticks
from giltrace.tui.view.viewport import Viewport


@pytest.mark.parametrize(
    ("since", "step", "greatest", "text"),
    [
        (0, 500_000_000, 4_000_000_000, "0.0 s"),
        (1_250_000_000, 50_000_000, 4_000_000_000, "1.25 s"),
        (4_376_500_000, 20_000, 4_400_000_000, "4.37650 s"),
        (12_000_000, 2_000_000, 90_000_000, "12 ms"),
        (1_234_000_000_000, 1_000_000_000, 2_000_000_000_000, "1,234 s"),
        (300, 100, 900, "300 ns"),
    ],
)
def test_clock(since: int, step: int, greatest: int, text: str) -> None:
    """As many digits as tell one tick from the next, and one unit for all."""
    assert clock(since, step, greatest) == text


def test_steps_are_round() -> None:
    """1, 2 or 5 times a power of ten, with room for the labels."""
    assert step_ns(1_000_000, 140) == 100_000
    assert step_ns(1_000_000, 60) == 500_000


@given(st.integers(1, 10**15), st.integers(0, 10**12), st.integers(20, 300))
def test_labels_do_not_touch(length: int, start: int, width: int) -> None:
    """Ticks differ, ascend, and leave room for what is written at them."""
    view = Viewport.whole(start, start + length)
    found = ticks(view, width)
    assert len({tick.label for tick in found}) == len(found)
    for one, other in itertools.pairwise(found):
        assert other.column - one.column > len(one.label)
