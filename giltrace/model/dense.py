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
TABLE_LIMIT: Final = 1 << 24
"""Entries up to which a table is better than a sort."""


def pieces(length: int) -> Iterator[slice]:
    """Slices of a bounded size that cover ``length`` rows."""
    for start in range(0, length, _PIECE):
        yield slice(start, min(start + _PIECE, length))


def constant(value: int, length: int, dtype: type[_T]) -> npt.NDArray[_T]:
    """A read-only column that holds the same everywhere, and takes no memory."""
    column: npt.NDArray[_T] = np.broadcast_to(dtype(value), (length,))
    return column


def is_constant(column: npt.NDArray[Any]) -> bool:
    """Whether it is a column that `constant` made."""
    return column.strides == (0,)


def gather(column: npt.NDArray[_T], *indices: _Ints) -> npt.NDArray[_T]:
    """``column[indices[0][indices[1][…]]]``, piece by piece.

    All arrays are contiguous, and indices within bounds: negative ones do not count from the end.
    Of a `constant` column comes another one, which is read-only.
    """
    if is_constant(column) and len(column):
        return np.broadcast_to(column[:1].reshape(()), (len(indices[-1]),))
    found = np.empty(len(indices[-1]), column.dtype)
    for some in pieces(len(found)):
        index = indices[-1][some]
        for outer in indices[-2::-1]:
            index = outer.take(index, mode="clip")
        # Any mode but "raise" writes to `out` directly.
        column.take(index, out=found[some], mode="clip")
    return found


def compacted(column: npt.NDArray[_T], kept: I4) -> npt.NDArray[_T]:
    """The rows at these positions, which ascend, moved to the front of ``column`` itself."""
    for some in pieces(len(kept)):
        # No row moves back, so nothing is overwritten before its turn.
        column[some] = column.take(kept[some])
    return column[: len(kept)]


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
    if highest >= max(TABLE_LIMIT, len(values)):
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
    if highest >= max(TABLE_LIMIT, len(values)):
        return np.searchsorted(among, values).astype(np.int32)
    table = np.zeros(highest + 1, np.int32)
    table[among] = np.arange(len(among), dtype=np.int32)
    return gather(table, values)


def numbered(keys: _Ints) -> tuple[I8, I4]:
    """The distinct keys, ascending, and for each key its place among them (int32 [n])."""
    among = distinct(keys)
    return among, ranks(keys, among)


def rows_of(sorted_keys: _Ints, key: int) -> tuple[int, int]:
    """The first row that has ``key``, and the row behind the last one."""
    if is_constant(sorted_keys) and len(sorted_keys):
        value = int(sorted_keys[0])
        return (0 if key <= value else len(sorted_keys)), (len(sorted_keys) if key >= value else 0)
    # Needles of the column's own type: any other makes numpy convert the whole column.
    first, end = np.searchsorted(sorted_keys, np.array([key, key + 1], sorted_keys.dtype))
    return int(first), int(end)


def segments(sorted_keys: _Ints, count: int) -> I8:
    """int64 [count + 1]: where the stretch of each key 0..count-1 begins, and the last ends."""
    if is_constant(sorted_keys) and len(sorted_keys):
        return np.where(np.arange(count + 1) > int(sorted_keys[0]), len(sorted_keys), 0)
    if not count or count - 1 > np.iinfo(sorted_keys.dtype).max:
        return np.searchsorted(sorted_keys, np.arange(count + 1)).astype(np.int64)
    # Numbers of another type would have numpy convert the whole column.
    last = sorted_keys.dtype.type(count - 1)
    begins = np.searchsorted(sorted_keys, np.arange(count, dtype=sorted_keys.dtype))
    return np.append(begins, np.searchsorted(sorted_keys, last, side="right")).astype(np.int64)


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


def rising(values: I8, bounds: I8, *, slack: int = 0) -> int:
    """Let no value be less than one before it in its stretch (in place).

    Args:
        values: int64.
        bounds: where each stretch begins, and the end, as from `segments`.
        slack: how much a value may be raised without a word.

    Returns:
        how many were raised by more than that.
    """
    falls = np.flatnonzero(values[1:] < values[:-1])
    after = np.searchsorted(bounds, falls, side="right")
    raised = 0
    for one in np.unique(after[falls + 1 < bounds[after]]):
        first, last = bounds[one - 1], bounds[one]
        risen = np.maximum.accumulate(values[first:last])
        raised += int(np.count_nonzero(risen - values[first:last] > slack))
        values[first:last] = risen
    return raised


def batches(bounds: I8, width: int, rows: int) -> Iterator[tuple[int, int]]:
    """Stretches of a sorted column, as many at a time as are good to work on together.

    Args:
        bounds: where each stretch begins, and the end, as from `segments`.
        width: how long a time may be in `lifted` keys; ``width`` times stretches fit in 62 bits.
        rows: how many rows, more or less, that is; a single stretch may have any number.

    Yields:
        The first stretch, and the first that is not in the batch any more.
    """
    first, count = 0, len(bounds) - 1
    most = max(1, (1 << 62) // max(1, width))
    while first < count:
        last = int(np.searchsorted(bounds, bounds[first] + rows, side="right")) - 1
        last = min(max(last, first + 1), first + most, count)
        yield first, last
        first = last


def lifted(ts: I8, stretch: _Ints, low_ns: int, width: int) -> I8:
    """Times of several stretches as keys that ascend from stretch to stretch.

    All times are within ``low_ns`` and ``low_ns + width - 1``.
    """
    return stretch.astype(np.int64) * width + (ts - low_ns)
