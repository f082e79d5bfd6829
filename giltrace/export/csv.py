"""Comma-separated values: one row for each event, for spreadsheets, pandas and awk.

``acquire`` and ``release`` always come in pairs: a hold that was going on when the record ends is
released at its end, with the cause ``none``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from giltrace.export import labels
from giltrace.export.grouping import Columns, distinct_rows
from giltrace.export.points import Kind, Points, turns, walk
from giltrace.model.tables import I8

if TYPE_CHECKING:
    from giltrace.model import Trace

_TEXTS: Final = 1 << 16

HEADER: Final = "ts_ns,pid,tid,thread,gil,event,cause,where"

_EVENTS: Final = {
    Kind.WAIT: "wait",
    Kind.ACQUIRE: "acquire",
    Kind.RELEASE: "release",
    Kind.DROP_REQUEST: "drop_request",
}


class CsvExporter:
    """Exports events in the order of time, as UTF-8 with a header row.

    ``gil`` is the number that the process gives its GIL; 0 is the main interpreter's. ``cause`` and
    ``where`` belong to releases. What is inferred from function calls goes by other names than what
    was observed: ``inferred_acquire``, ``inferred_release``. Names are quoted where needed; what
    cannot be shown in them is escaped as in Python.
    """

    name: Final = "csv"
    suffix: Final = ".csv"

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        out.write(f"{HEADER}\n".encode())
        rows = _Rows(trace)
        for batch in walk(turns(trace)):
            encoded = rows.encode(batch)
            out.write(encoded)


class _Rows:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._make = lru_cache(_TEXTS)(self._after_time)

    def encode(self, points: Points) -> bytes:
        pieces = np.full((len(points), 2), "", np.object_)
        for kind in _EVENTS:
            here = np.flatnonzero(points.kind == kind)
            if len(here):
                rows, which = distinct_rows(self._columns(kind, points.ref[here]))
                texts = [self._make(kind, *row) for row in rows]
                pieces[here, 0] = list(map(str, points.ts[here].tolist()))
                pieces[here, 1] = np.array(texts, np.object_)[which]
        return "".join(pieces.ravel().tolist()).encode()

    def _columns(self, kind: Kind, ref: I8) -> Columns:
        if kind is Kind.WAIT:
            return self._trace.waits.thread[ref], self._trace.waits.gil[ref]
        if kind is Kind.DROP_REQUEST:
            return self._trace.drop_requests.thread[ref], self._trace.drop_requests.gil[ref]
        holds = self._trace.holds
        if kind is Kind.ACQUIRE:
            return holds.thread[ref], holds.gil[ref]
        return holds.thread[ref], holds.gil[ref], holds.cause[ref], holds.place[ref]

    def _after_time(
        self, kind: Kind, thread: int, gil: int, cause: int | None = None, place: int = 0
    ) -> str:
        who = self._trace.threads[thread]
        process = self._trace.processes[who.process]
        fields = (
            str(process.pid),
            str(who.tid),
            _quoted(labels.thread_label(who)),
            str(self._trace.gils[gil].number),
            f"inferred_{_EVENTS[kind]}" if process.inferred else _EVENTS[kind],
            "" if cause is None else labels.CAUSES[cause],
            _quoted(labels.place_label(self._trace.places[place])) if place else "",
        )
        return f",{','.join(fields)}\n"


def _quoted(text: str) -> str:
    """RFC 4180; labels have no line breaks, but a leading blank might be taken for layout."""
    if any(char in text for char in ',"') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text
