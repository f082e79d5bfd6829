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
