"""What each level of the call layer costs, beside two profilers, paired within one process."""

from __future__ import annotations

import cProfile
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from giltrace import _core
from giltrace.record.settings import Settings
from giltrace.runtime import calls, spans

_ROUNDS = 7
_AIMS = {
    ("functions", "io"): "<= 1.05 (3.11: 1.5)",
    ("functions", "all"): "<= 3",
}


def run() -> Iterator[tuple[str, str, str]]:
    """For each workload, rounds of every level in turn; medians of the ratios to plain ones."""
    for what, work in (("functions", _functions), ("C calls", _c_calls), ("compute", _compute)):
        ratios: dict[str, list[float]] = {name: [] for name in _levels()}
        for _ in range(_ROUNDS):
            plain = _seconds(work)
            for name, values in ratios.items():
                with _LEVELS[name]():
                    values.append(_seconds(work) / plain)
        for name, values in ratios.items():
            title = f"{what}, {name}: slow-down"
            yield title, f"{statistics.median(values):.2f}", _AIMS.get((what, name), "")


def _seconds(work: Callable[[], object]) -> float:
    work()  # instructions that a change of level has reset get specialised again
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _functions() -> None:
    """Calls of Python functions that do next to nothing."""
    _fib(22)


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


def _c_calls() -> None:
    """Calls of C functions that never let the GIL go."""
    for i in range(60_000):
        len(str(i))


def _compute() -> None:
    """No calls at all."""
    n = 0
    for i in range(300_000):
        n += i * i % 7


@contextmanager
def _recorded(level: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        _core.start(str(Path(folder, "arena")), b"{}")
        if level != "off":
            calls.watch()
        if level == "all":
            assert not spans.watch(Settings().least_span_ns)
        try:
            yield
        finally:
            calls.unwatch()
            spans.unwatch()
            _core.stop()


@contextmanager
def _viztracer() -> Iterator[None]:
    from viztracer import VizTracer

    tracer = VizTracer(verbose=0, tracer_entries=1_000_000)
    tracer.start()
    try:
        yield
    finally:
        tracer.stop()
        tracer.clear()


def _levels() -> list[str]:
    """All that can be measured here."""
    return [name for name in _LEVELS if name != "viztracer" or find_spec("viztracer")]


_LEVELS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "off": lambda: _recorded("off"),
    "io": lambda: _recorded("io"),
    "all": lambda: _recorded("all"),
    "cProfile": cProfile.Profile,
    "viztracer": _viztracer,
}
