"""Numbers as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.wording.human import count, duration, share, times


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (1, "1 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (1_001, "1.0 µs"),
        (12_340, "12.3 µs"),
        (99_949, "99.9 µs"),
        (99_951, "100 µs"),
        (999_499, "999 µs"),
        (999_500, "1.0 ms"),
        (5_000_000, "5 ms"),
        (5_123_456, "5.1 ms"),
        (1_000_000_000, "1 s"),
        (12_400_000_001, "12.4 s"),
        (119_940_000_000, "120 s"),
        (120_000_000_000, "2 min 0 s"),
        (185_000_000_000, "3 min 5 s"),
        (3_599_600_000_000, "1 h 0 min"),
        (7_380_000_000_000, "2 h 3 min"),
        (-5_123_456, "-5.1 ms"),
    ],
)
def test_duration_has_a_unit_and_few_digits(ns: int, text: str) -> None:
    """A time reads as one would say it, also next to the border of two units."""
    assert duration(ns) == text


@given(st.integers(0, 10**15))
def test_duration_is_never_far_off(ns: int) -> None:
    """What is shown is within a twentieth of the truth."""
    units = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
    words = duration(ns).replace(",", "").split()
    shown = sum(float(n) * units[u] for n, u in zip(words[::2], words[1::2], strict=True))
    assert abs(shown - ns) <= max(ns / 20, 0)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (5, 0, "0 %"),
        (1, 1000, "<1 %"),
        (1, 100, "1 %"),
        (1, 3, "33 %"),
        (994, 1000, "99 %"),
        (999, 1000, ">99 %"),
        (10, 10, "100 %"),
    ],
)
def test_share_never_rounds_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    """100 % is all, 0 % is nothing."""
    assert share(part, whole) == text


def test_numbers_of_things() -> None:
    """Plurals and small multiples read as English."""
    assert [count(1, "wait"), count(1204, "wait")] == ["1 wait", "1,204 waits"]
    assert [times(1), times(2), times(1204)] == ["once", "twice", "1,204 times"]
