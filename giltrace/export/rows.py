"""Walking long columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CHUNK: Final = 1 << 18
"""Rows to work on at a time: long enough for numpy, short enough not to count as memory."""


def chunks(n: int) -> Iterator[slice]:
    """Slices of at most `CHUNK` that together cover ``n`` rows."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))
