"""Working on large columns of small integers: tables instead of sorts, pieces instead of copies.

numpy turns every index into 64 bits before it uses it. Piece by piece that copy stays in the
processor's cache; as a whole it would cost more than the work itself, in time and in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from giltrace.model.tables import I4, I8, Bool

_T = TypeVar("_T", bound=np.generic)
_Ints = npt.NDArray[np.integer[Any]]

_PIECE: Final = 1 << 15
_TABLE_LIMIT: Final = 1 << 24


def pieces(length: int) -> Iterator[slice]:
    """Slices of a bounded size that cover ``length`` rows."""
    for start in range(0, length, _PIECE):
        yield slice(start, min(start + _PIECE, length))


def gather(column: npt.NDArray[_T], *indices: _Ints) -> npt.NDArray[_T]:
    """``column[indices[0][indices[1][…]]]``, piece by piece.

    All arrays are contiguous, and indices within bounds: negative ones do not count from the end.
    """
    found = np.empty(len(indices[-1]), column.dtype)
    for some in pieces(len(found)):
        index = indices[-1][some]
        for outer in indices[-2::-1]:
            index = outer.take(index, mode="clip")
        # Any mode but "raise" writes to `out` directly.
        column.take(index, out=found[some], mode="clip")
    return found


def positions(mask: Bool) -> I4:
    """int32: where ``mask`` is true, like `np.flatnonzero` but half the size."""
    found = np.empty(np.count_nonzero(mask), np.int32)
    done = 0
    for some in pieces(len(mask)):
        here = np.flatnonzero(mask[some])
        found[done : done + len(here)] = here
        found[done : done + len(here)] += some.start
        done += len(here)
    return found


def distinct(values: _Ints) -> I8:
    """int64: the distinct values of an array of non-negative integers, ascending."""
    if len(values) == 0:
        return np.zeros(0, np.int64)
    highest = int(values.max())
    if highest >= max(_TABLE_LIMIT, len(values)):
        return np.unique(values).astype(np.int64)
    present = np.zeros(highest + 1, np.bool_)
    for some in pieces(len(values)):
        present[values[some]] = True
    return np.flatnonzero(present)


def ranks(values: _Ints, among: I8) -> I4:
    """int32 [n]: the place of each value in ``among``, which is ascending and holds them all."""
    if len(values) == 0:
        return np.zeros(0, np.int32)
    highest = int(among[-1])
    if highest == len(among) - 1:
        return values.astype(np.int32)
    if highest >= max(_TABLE_LIMIT, len(values)):
        return np.searchsorted(among, values).astype(np.int32)
    table = np.zeros(highest + 1, np.int32)
    table[among] = np.arange(len(among), dtype=np.int32)
    return gather(table, values)


def numbered(keys: _Ints) -> tuple[I8, I4]:
    """The distinct keys, ascending, and for each key its place among them (int32 [n])."""
    among = distinct(keys)
    return among, ranks(keys, among)


def segments(sorted_keys: _Ints, count: int) -> I8:
    """int64 [count + 1]: where the stretch of each key 0..count-1 begins, and the end."""
    return np.searchsorted(sorted_keys, np.arange(count + 1)).astype(np.int64)


def sums(index: _Ints, values: I8, count: int) -> I8:
    """int64 [count]: the sum of the values of each index; exact, unlike bincount's floats."""
    total = np.zeros(count, np.int64)
    for some in pieces(len(index)):
        np.add.at(total, index[some], values[some])
    return total


def by_thread(thread: I4, count: int) -> I8:
    """int64: a stable order by thread, of which there are ``count``."""
    # 16 bits are sorted by radix in linear time.
    narrow = thread.astype(np.uint16) if count <= 1 << 16 else thread
    return np.argsort(narrow, kind="stable")
