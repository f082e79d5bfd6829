"""Parquet: all that happened as one table, for DuckDB, Polars, Spark and the like.

One file for one capture, so that many of them can be asked at once: ``from 'runs/*.parquet'``.
docs/reference/parquet.md describes the columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from giltrace._version import __version__
from giltrace.export import labels
from giltrace.export.blamed import blamed_holds
from giltrace.export.rows import chunks
from giltrace.model.tables import I8
from giltrace.model.text import printable

if TYPE_CHECKING:
    from giltrace.model import Trace

_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_COLUMNS: Final = {
    "kind": _TEXT,
    "pid": pa.int64(),
    "tid": pa.int64(),
    "thread": _TEXT,
    "gil": pa.int32(),
    "start_ns": pa.int64(),
    "end_ns": pa.int64(),
    "cause": _TEXT,
    "call": _TEXT,
    "off_kind": _TEXT,
    "file": _TEXT,
    "line": pa.int32(),
    "function": _TEXT,
    "expression": _TEXT,
    "cpu_ns": pa.int64(),
    "requests": pa.int32(),
    "other_tid": pa.int64(),
    "other_thread": _TEXT,
}

_Numbers = npt.NDArray[Any]
_Rows = dict[str, Any]


class ParquetExporter:
    """Exports holds, waits, stretches off the GIL, hand-offs, drop requests and function spans."""

    name: Final = "parquet"
    suffix: Final = ".parquet"

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        facts = {
            "version": __version__,
            "command": list(map(labels.note_label, trace.session.argv)),
            "started_ns": trace.session.started_ns,
            "started_unix_ns": trace.session.started_unix_ns,
            "lost_events": trace.lost_events,
            "notes": list(map(labels.note_label, trace.notes)),
        }
        schema = pa.schema(_COLUMNS.items(), metadata={"giltrace": json.dumps(facts)})
        table = _Table(trace)
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for rows in table.rows():
                size = len(rows["start_ns"])
                columns = [
                    rows[name] if name in rows else pa.nulls(size, kind)
                    for name, kind in _COLUMNS.items()
                ]
                writer.write_table(pa.table(columns, schema))


class _Table:
    """The rows of a trace, table by table and piece by piece."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        processes = [trace.processes[thread.process] for thread in trace.threads]
        self._pid = np.array([labels.kernel_id(p.pid) for p in processes], np.int64)
        self._tid = np.array([labels.kernel_id(t.tid) for t in trace.threads], np.int64)
        self._thread = _Texts(map(labels.thread_label, trace.threads))
        self._gil = np.array([gil.number for gil in trace.gils], np.int32)
        self._call = _Texts(map(labels.call_label, trace.calls))
        places = trace.places
        self._file = _Texts(printable(place.filename, 1000) for place in places)
        self._line = np.array([place.line for place in places], np.int32)
        self._function = _Texts(printable(place.qualname, 200) for place in places)
        self._expression = _Texts(trace.expressions.of(place).text for place in places)

    def rows(self) -> Iterator[_Rows]:
        """Columns by name; those that a kind does not have are left out."""
        trace = self._trace
        for part in chunks(len(trace.holds)):
            yield self._holds(part)
        for part in chunks(len(trace.waits)):
            yield self._waits(part)
        if len(trace.off_gil):
            for part in chunks(len(trace.off_gil)):
                yield self._off(part)
        for part in chunks(len(trace.handoffs)):
            yield self._handoffs(part)
        for part in chunks(len(trace.drop_requests)):
            yield self._requests(part)
        for part in chunks(len(trace.spans)):
            yield self._spans(part)

    def _holds(self, part: slice) -> _Rows:
        holds, idle = self._trace.holds, self._trace.running.not_running_ns[part]
        ran = np.maximum(holds.end[part] - holds.start[part] - idle, 0)
        return {
            **self._who("hold", holds.thread[part], holds.gil[part]),
            **_when(holds.start[part], holds.end[part]),
            **self._where(holds.place[part]),
            "cause": _CAUSES.of(holds.cause[part]),
            "call": self._call.of(holds.call[part]),
            "cpu_ns": pa.array(ran, mask=idle < 0),
        }

    def _waits(self, part: slice) -> _Rows:
        waits, holds = self._trace.waits, self._trace.holds
        blamed = blamed_holds(self._trace, np.arange(part.start, part.stop))
        nobody = blamed < 0
        blamed[nobody] = 0
        place = holds.place[blamed] if len(holds) else np.zeros(len(blamed), np.int32)
        other = holds.thread[blamed] if len(holds) else np.zeros(len(blamed), np.int32)
        return {
            **self._who("wait", waits.thread[part], waits.gil[part]),
            **_when(waits.start[part], waits.end[part]),
            **self._where(np.where(nobody, 0, place)),
            "requests": pa.array(waits.requests[part]),
            **self._other(other, nobody),
        }

    def _off(self, part: slice) -> _Rows:
        off = self._trace.off_gil
        used = off.cpu_ns[part]
        return {
            **self._who("off", off.thread[part], off.gil[part]),
            **_when(off.start[part], off.end[part]),
            **self._where(self._trace.holds.place[off.hold[part]]),
            "call": self._call.of(off.call[part]),
            "off_kind": _OFF_KINDS.of(off.kind[part]),
            "cpu_ns": pa.array(used, mask=used < 0),
        }

    def _handoffs(self, part: slice) -> _Rows:
        handoffs, holds = self._trace.handoffs, self._trace.holds
        release, acquire = handoffs.release[part], handoffs.acquire[part]
        return {
            **self._who("handoff", holds.thread[release], holds.gil[release]),
            **_when(holds.end[release], holds.start[acquire]),
            **self._where(holds.place[release]),
            "cause": _CAUSES.of(holds.cause[release]),
            "call": self._call.of(holds.call[release]),
            **self._other(holds.thread[acquire]),
        }

    def _requests(self, part: slice) -> _Rows:
        requests, holds = self._trace.drop_requests, self._trace.holds
        unknown = requests.hold[part] < 0
        hold = np.where(unknown, 0, requests.hold[part])
        holder = holds.thread[hold] if len(holds) else np.zeros(len(hold), np.int32)
        return {
            **self._who("drop_request", requests.thread[part], requests.gil[part]),
            **_when(requests.ts[part], requests.ts[part]),
            **self._other(holder, unknown),
        }

    def _spans(self, part: slice) -> _Rows:
        spans = self._trace.spans
        return {
            **self._who("function", spans.thread[part], None),
            **_when(spans.start[part], spans.end[part]),
            **self._where(spans.place[part]),
        }

    def _who(self, kind: str, thread: _Numbers, gil: _Numbers | None) -> _Rows:
        found: _Rows = {
            "kind": _KIND_TEXTS.of(np.full(len(thread), _KINDS.index(kind))),
            "pid": pa.array(self._pid[thread]),
            "tid": pa.array(self._tid[thread]),
            "thread": self._thread.of(thread),
        }
        if gil is not None:
            found["gil"] = pa.array(self._gil[gil])
        return found

    def _where(self, place: _Numbers) -> _Rows:
        unknown = place == 0
        return {
            "file": self._file.of(place, unknown),
            "line": pa.array(self._line[place], mask=self._line[place] == 0),
            "function": self._function.of(place, unknown),
            "expression": self._expression.of(place, unknown),
        }

    def _other(self, thread: _Numbers, unknown: _Numbers | None = None) -> _Rows:
        return {
            "other_tid": pa.array(self._tid[thread], mask=unknown),
            "other_thread": self._thread.of(thread, unknown),
        }


def _when(start: I8, end: I8) -> _Rows:
    return {"start_ns": pa.array(start), "end_ns": pa.array(end)}


class _Texts:
    """Texts by number, each kept once; an empty one says that nothing is known."""

    def __init__(self, texts: Iterable[str]) -> None:
        codes: dict[str, int] = {}
        self._code = np.array(
            [codes.setdefault(text, len(codes)) if text else -1 for text in texts], np.int32
        )
        self._texts = pa.array(list(codes), pa.string())

    def of(self, numbers: _Numbers, unknown: _Numbers | None = None) -> Any:
        """A column of the texts of these numbers, null where they are unknown or empty."""
        code = self._code[numbers]
        absent = code < 0 if unknown is None else (code < 0) | unknown
        code[absent] = 0
        return pa.DictionaryArray.from_arrays(pa.array(code, mask=absent), self._texts)


_CAUSES: Final = _Texts(labels.CAUSES)
_OFF_KINDS: Final = _Texts(labels.OFF_KINDS)
_KINDS: Final = ("hold", "wait", "off", "handoff", "drop_request", "function")
_KIND_TEXTS: Final = _Texts(_KINDS)
