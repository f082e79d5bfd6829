"""The Firefox Profiler: its processed format, version 57, as JSON.

Threads have markers, called as CPython's own profiler calls them, so that whoever knows those finds
their way: ``Has GIL``, ``Waiting for GIL``, ``No GIL``. The call tree is that of the places where
the GIL was released, weighed by the time that it had been held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace._version import __version__
from giltrace.export import labels
from giltrace.export.blamed import blamed_holds
from giltrace.model.dense import pieces
from giltrace.model.tables import I8

if TYPE_CHECKING:
    from giltrace.model import Trace
    from giltrace.model.tables import Thread

_GECKO_VERSION: Final = 32
_PROCESSED_VERSION: Final = 57
_INTERVAL: Final = 1  # phase: with a start and an end
_OTHER, _PYTHON, _GIL = range(3)
_CATEGORIES: Final = [
    {"name": "Other", "color": "grey", "subcategories": ["Other"]},
    {"name": "Python", "color": "yellow", "subcategories": ["Other"]},
    {"name": "GIL", "color": "green", "subcategories": ["Other"]},
]
_SCHEMA: Final = [
    {
        "name": kind,
        "display": ["marker-chart", "marker-table", "timeline-overview"],
        "chartLabel": label,
        "tooltipLabel": f"{{marker.name}} {label}",
        "tableLabel": label,
        "fields": [{"key": key, "label": key, "format": "string"} for key in keys],
    }
    for kind, label, keys in (
        ("HasGIL", "{marker.data.where}", ("where", "expression", "call", "cause")),
        ("WaitingforGIL", "{marker.data.blame}", ("blame", "where", "expression")),
        ("NoGIL", "{marker.data.call}", ("call", "kind", "where", "expression")),
    )
]

_Numbers: TypeAlias = npt.NDArray[np.integer[Any]]


class FirefoxExporter:
    """Exports for https://profiler.firefox.com; times are milliseconds since the start."""

    name: Final = "firefox"
    suffix: Final = ".firefox.json"

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        strings = _Strings(trace)
        write = _Writer(out)
        write(f'{{"meta":{_json(_meta(trace))},"libs":[],"pages":[],"shared":')
        write(_json({"stringArray": strings.texts}))
        write(',"threads":[')
        for thread in trace.threads:
            _OneThread(trace, thread, strings).write(write)
        write("]}\n")


def _meta(trace: Trace) -> dict[str, Any]:
    session = trace.session
    unix_ns = session.started_unix_ns + trace.start_ns - session.started_ns
    return {
        "version": _GECKO_VERSION,
        "preprocessedProfileVersion": _PROCESSED_VERSION,
        "startTime": unix_ns / 1e6,
        "interval": 1,
        "processType": 0,
        "stackwalk": 0,
        "product": labels.note_label(" ".join(session.argv)) or "Python",
        "importedFrom": f"giltrace {__version__}",
        "platform": "Linux",
        "oscpu": labels.note_label(session.platform),
        "toolkit": "",
        "abi": "",
        "misc": "",
        "appBuildID": "",
        "symbolicated": True,
        "usesOnlyOneStackType": True,
        "doesNotUseFrameImplementation": True,
        "sourceCodeIsNotOnSearchfox": True,
        "categories": _CATEGORIES,
        "markerSchema": _SCHEMA,
        "extensions": _table("id", "name", "baseURL"),
        "extra": [
            {
                "label": "giltrace",
                "entries": [
                    {"label": "lost events", "format": "integer", "value": trace.lost_events},
                    *(
                        {"label": "note", "format": "string", "value": labels.note_label(note)}
                        for note in trace.notes
                    ),
                ],
            }
        ],
    }


class _Strings:
    """The one table of strings that all threads share, and where what is in it."""

    def __init__(self, trace: Trace) -> None:
        self.texts: list[str] = []
        self._known: dict[str, int] = {}
        self.has, self.waiting, self.no = map(self.add, ("Has GIL", "Waiting for GIL", "No GIL"))
        self.functions = [self.add(labels.function_label(place)) for place in trace.places]
        self.files = [self.add(labels.note_label(place.basename)) for place in trace.places]

    def add(self, text: str) -> int:
        """The number of a text."""
        number = self._known.setdefault(text, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number


class _Writer:
    """Text into a binary stream."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._first = True

    def __call__(self, text: str) -> None:
        self._out.write(text.encode())

    def column(self, name: str, parts: Iterable[Iterable[str]], *, last: bool = False) -> None:
        """One column of a table, a piece at a time."""
        self(f'"{name}":[')
        between = ""
        for part in parts:
            text = ",".join(part)
            if text:
                self(between + text)
                between = ","
        self("]" if last else "],")

    def thread(self) -> None:
        """What comes between two threads."""
        if not self._first:
            self(",")
        self._first = False


class _OneThread:
    """The markers and the samples of one thread."""

    def __init__(self, trace: Trace, thread: Thread, strings: _Strings) -> None:
        self._trace = trace
        self._thread = thread
        self._strings = strings
        self._holds = np.flatnonzero(trace.holds.thread == thread.index)
        self._waits = np.flatnonzero(trace.waits.thread == thread.index)
        self._offs = np.flatnonzero(trace.off_gil.thread == thread.index)

    def write(self, write: _Writer) -> None:
        """The thread as an object."""
        trace, thread = self._trace, self._thread
        process = trace.processes[thread.process]
        pid, tid = labels.kernel_id(process.pid), labels.kernel_id(thread.tid)
        about = {
            "name": labels.thread_label(thread),
            "isMainThread": pid == tid,
            "processType": "default",
            "processName": labels.process_label(process),
            "processStartupTime": _ms(process.start_ns - trace.start_ns),
            "processShutdownTime": _ms(process.end_ns - trace.start_ns),
            "registerTime": _ms(thread.start_ns - trace.start_ns),
            "unregisterTime": _ms(thread.end_ns - trace.start_ns),
            "pausedRanges": [],
            "pid": str(pid),
            "tid": tid,
            "nativeSymbols": _table("libIndex", "address", "name", "functionSize"),
            "resourceTable": _table("lib", "name", "host", "type"),
        }
        write.thread()
        write(f"{_json(about)[:-1]},")
        self._write_samples(write)
        self._write_markers(write)
        write("}")

    def _write_samples(self, write: _Writer) -> None:
        """One for each hold: its stack at the release, as heavy as it was long."""
        holds, mine = self._trace.holds, self._holds
        tree = _Tree(self._trace, self._strings)
        stack = tree.stacks(holds.place[mine], holds.stack[mine])
        write(tree.tables())
        write('"samples":{')
        write.column("stack", (_texts(stack[part]) for part in pieces(len(mine))))
        write.column("time", (self._times(holds.end, mine[part]) for part in pieces(len(mine))))
        write.column(
            "weight",
            (
                _milliseconds(holds.end[mine[part]] - holds.start[mine[part]])
                for part in pieces(len(mine))
            ),
        )
        write(f'"weightType":"tracing-ms","length":{len(mine)}}},')

    def _write_markers(self, write: _Writer) -> None:
        trace, strings = self._trace, self._strings
        groups: list[tuple[int, I8, I8, I8, Callable[[I8], Iterator[str]]]] = [
            (strings.has, self._holds, trace.holds.start, trace.holds.end, self._of_holds),
            (strings.waiting, self._waits, trace.waits.start, trace.waits.end, self._of_waits),
            (strings.no, self._offs, trace.off_gil.start, trace.off_gil.end, self._of_offs),
        ]
        parts = [
            (name, mine[part], start, end, data)
            for name, mine, start, end, data in groups
            for part in pieces(len(mine))
        ]
        length = sum(len(mine) for _, mine, *_ in groups)
        write('"markers":{')
        write.column("name", ([str(name)] * len(mine) for name, mine, *_ in parts))
        write.column("startTime", (self._times(start, mine) for _, mine, start, *_ in parts))
        write.column("endTime", (self._times(end, mine) for _, mine, _, end, _ in parts))
        write.column("phase", ([str(_INTERVAL)] * len(mine) for _, mine, *_ in parts))
        write.column("category", ([str(_GIL)] * len(mine) for _, mine, *_ in parts))
        write.column("data", (data(mine) for _, mine, _, _, data in parts))
        write(f'"length":{length}}}')

    def _of_holds(self, mine: I8) -> Iterator[str]:
        holds, calls = self._trace.holds, self._trace.calls
        for place, call, cause in _rows(holds.place[mine], holds.call[mine], holds.cause[mine]):
            yield _json(
                {
                    "type": "HasGIL",
                    **self._where(place),
                    "call": labels.call_label(calls[call]),
                    "cause": labels.CAUSES[cause],
                }
            )

    def _of_waits(self, mine: I8) -> Iterator[str]:
        holds = self._trace.holds
        for hold in blamed_holds(self._trace, mine).tolist():
            data = {"type": "WaitingforGIL", "blame": "nobody"}
            if hold >= 0:
                thread = self._trace.threads[holds.thread[hold]]
                data |= {"blame": labels.thread_label(thread), **self._where(holds.place[hold])}
            yield _json(data)

    def _of_offs(self, mine: I8) -> Iterator[str]:
        off, calls = self._trace.off_gil, self._trace.calls
        place = self._trace.holds.place[off.hold[mine]]
        for where, call, kind in _rows(place, off.call[mine], off.kind[mine]):
            yield _json(
                {
                    "type": "NoGIL",
                    "call": labels.call_label(calls[call]),
                    "kind": labels.OFF_KINDS[kind],
                    **self._where(where),
                }
            )

    def _where(self, number: int) -> dict[str, str]:
        place = self._trace.places[number]
        return {
            "where": labels.place_label(place),
            "expression": self._trace.expressions.of(place).text,
        }

    def _times(self, column: I8, mine: I8) -> list[str]:
        return _milliseconds(column[mine] - self._trace.start_ns)


class _Tree:
    """Stacks as a tree, from the outermost caller inwards: tables of functions, frames, stacks."""

    def __init__(self, trace: Trace, strings: _Strings) -> None:
        self._trace = trace
        self._strings = strings
        self._frames: dict[int, int] = {}
        self._nodes: dict[tuple[int, int], int] = {}

    def stacks(self, place: _Numbers, stack: _Numbers) -> I8:
        """int64: for each place and its callers the number of the stack."""
        keys = place.astype(np.int64) * (len(self._trace.stacks) + 1) + stack
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        found = [self._stack(int(place[at]), int(stack[at])) for at in first.tolist()]
        return np.array(found, np.int64)[which] if found else np.zeros(0, np.int64)

    def _stack(self, place: int, stack: int) -> int:
        node = -1
        for one in (*reversed(self._trace.stacks[stack]), place):
            frame = self._frames.setdefault(one, len(self._frames))
            node = self._nodes.setdefault((node, frame), len(self._nodes))
        return node

    def tables(self) -> str:
        """The tables, as members of the thread's object."""
        places = list(self._frames)
        lines: Sequence[int | None] = [self._trace.places[place].line or None for place in places]
        n, nodes = len(places), list(self._nodes)
        none, zero, python = [None] * n, [0] * n, [_PYTHON] * n
        tables = {
            "funcTable": {
                "name": [self._strings.functions[place] for place in places],
                "isJS": [False] * n,
                "relevantForJS": [False] * n,
                "resource": [-1] * n,
                "fileName": [self._strings.files[place] for place in places],
                "lineNumber": none,
                "columnNumber": none,
                "length": n,
            },
            "frameTable": {
                "address": [-1] * n,
                "inlineDepth": zero,
                "category": python,
                "subcategory": zero,
                "func": list(range(n)),
                "nativeSymbol": none,
                "innerWindowID": none,
                "implementation": none,
                "line": lines,
                "column": none,
                "length": n,
            },
            "stackTable": {
                "frame": [frame for _, frame in nodes],
                "prefix": [None if parent < 0 else parent for parent, _ in nodes],
                "category": [_PYTHON] * len(nodes),
                "subcategory": [0] * len(nodes),
                "length": len(nodes),
            },
        }
        return f"{_json(tables)[1:-1]},"


def _table(*columns: str) -> dict[str, Any]:
    """A table without rows."""
    return {**{name: [] for name in columns}, "length": 0}


def _rows(*columns: _Numbers) -> Iterator[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _texts(numbers: _Numbers) -> list[str]:
    return list(map(str, numbers.tolist()))


def _milliseconds(ns: I8) -> list[str]:
    return [_decimal(value) for value in ns.tolist()]


def _decimal(ns: int) -> str:
    """Milliseconds with all nanoseconds."""
    return f"{ns // 1_000_000}.{ns % 1_000_000:06d}"


def _ms(ns: int) -> float:
    return ns / 1e6


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
