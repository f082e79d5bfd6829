"""Tables in the place of sorts."""

from __future__ import annotations

import numpy as np
import pytest

from giltrace.model import dense
from giltrace.model.tables import I8

CASES = [
    [],
    [0],
    [5, 5, 5],
    [3, 1, 2, 3, 0],
    [1 << 40, 7, 1 << 40, (1 << 62) + 1],
    list(range(100_000, 0, -1)),
]


@pytest.mark.parametrize("values", CASES)
def test_numbered(values: list[int]) -> None:
    """Distinct values come in order, and numbers lead back to the values."""
    keys = np.array(values, np.int64)
    among, index = dense.numbered(keys)
    assert among.tolist() == sorted(set(values))
    assert among[index].tolist() == values
    assert (among.dtype.name, index.dtype.name) == ("int64", "int32")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int32])
def test_numbered_small_types(kind: type[np.integer]) -> None:
    """Columns of any integer type are taken."""
    among, index = dense.numbered(np.array([9, 4, 9], kind))
    assert (among.tolist(), index.tolist()) == ([4, 9], [1, 0, 1])


@pytest.mark.parametrize("count", [0, 1, 40_000, 1 << 17])
def test_gather_and_positions(count: int) -> None:
    """Piece by piece is the same as at once."""
    rng = np.random.default_rng(3)
    column = rng.integers(0, 1 << 60, max(1, count))
    outer = rng.integers(0, len(column), count).astype(np.int32)
    inner = rng.integers(0, max(1, count), count).astype(np.int32)
    assert dense.gather(column, outer).tolist() == column[outer].tolist()
    assert dense.gather(column, outer, inner).tolist() == column[outer[inner]].tolist()
    mask = rng.integers(0, 2, count).astype(np.bool_)
    assert dense.positions(mask).tolist() == np.flatnonzero(mask).tolist()


def test_sums_are_exact() -> None:
    """Sums of large times do not go through floating point."""
    values: I8 = np.array([(1 << 60) + 1, 1, 1], np.int64)
    assert dense.sums(np.array([1, 1, 0]), values, 3).tolist() == [1, (1 << 60) + 2, 0]


def test_segments() -> None:
    """Each key's stretch begins where the one before it ends."""
    assert dense.segments(np.array([0, 0, 2]), 4).tolist() == [0, 2, 2, 3, 3]


def test_constant() -> None:
    """A column of one value takes no memory, and neither does what is gathered from it."""
    column = dense.constant(-1, 1_000_000, np.int32)
    assert (column.dtype.name, int(column.sum()), column.flags.writeable) == (
        "int32",
        -1_000_000,
        False,
    )
    picked = dense.gather(column, np.array([5, 7, 999_999]))
    assert (picked.tolist(), dense.is_constant(picked)) == ([-1, -1, -1], True)
    assert not dense.is_constant(np.zeros(1, np.int32))
    assert not dense.is_constant(picked.copy())
    empty = dense.constant(0, 0, np.int32)
    assert dense.gather(empty, np.zeros(0, np.int64)).tolist() == []


def test_rising() -> None:
    """Values rise within each stretch; what begins anew may be lower."""
    values = np.array([5, 3, 9, 1, 2, 0, 0, 4], np.int64)
    bounds = np.array([0, 3, 3, 6, 8])
    assert dense.rising(values, bounds) == 2
    assert values.tolist() == [5, 5, 9, 1, 2, 2, 0, 4]
    assert dense.rising(values, bounds) == 0
    assert dense.rising(np.array([5, 3, 1]), np.array([0, 3]), slack=2) == 1
    assert dense.rising(np.zeros(0, np.int64), np.zeros(1, np.int64)) == 0


@pytest.mark.parametrize(
    ("width", "rows", "expected"),
    [
        (1, 100, [(0, 5)]),
        (1, 4, [(0, 2), (2, 4), (4, 5)]),
        (1, 1, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        (1 << 61, 100, [(0, 2), (2, 4), (4, 5)]),
        (1 << 70, 100, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
    ],
)
def test_batches(width: int, rows: int, expected: list[tuple[int, int]]) -> None:
    """Batches cover all stretches, with no more rows or longer keys than asked for if they can."""
    bounds = np.array([0, 1, 4, 5, 8, 50])
    assert list(dense.batches(bounds, width, rows)) == expected
    assert list(dense.batches(np.zeros(1, np.int64), width, rows)) == []


def test_lifted() -> None:
    """Keys ascend from stretch to stretch, and by time within."""
    ts, stretch = np.array([10, 19, 10, 12]), np.array([0, 0, 1, 2], np.int32)
    assert dense.lifted(ts, stretch, 10, 10).tolist() == [0, 9, 10, 22]
