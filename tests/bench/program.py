"""What giltrace adds to pure Python that calls functions and never lets go of the GIL."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from giltrace import _core, policy

_ROUNDS = 15


def run() -> Iterator[tuple[str, str, str]]:
    """Alternate plain and other rounds of one function; medians of the ratios."""
    ratios, under_policy = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for number in range(_ROUNDS):
            plain = _seconds()
            path = Path(folder, str(number))
            _core.start(path, b"{}")
            recorded = _seconds()
            _core.stop()
            path.unlink()
            ratios.append(recorded / plain)
            policy("auto")
            under_policy.append(_seconds() / plain)
            policy("cpython")
    yield "function calls (recursive Fibonacci), slow-down", _ratio(ratios), "<= 1.01"
    yield "  not recorded, policy auto", _ratio(under_policy), "<= 1.01"


def _seconds() -> float:
    start = time.perf_counter()
    _fib(27)
    return time.perf_counter() - start


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f}"
