"""Where the rows of one GIL are in tables that are sorted by GIL, and walking long columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.model.tables import I4

CHUNK: Final = 1 << 18
"""Rows to work on at a time: long enough for numpy, short enough not to count as memory."""


def chunks(n: int) -> Iterator[slice]:
    """Slices of at most `CHUNK` that together cover ``n`` rows."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def rows_of(column: I4, value: int) -> tuple[int, int]:
    """First and behind the last row with ``value`` in an ascending column."""
    # Needles of the column's own type: any other makes numpy copy the whole column.
    first, end = np.searchsorted(column, np.array([value, value + 1], column.dtype))
    return int(first), int(end)
