"""Chrome's trace event format: JSON for viewers other than Perfetto's, and for scripts.

The same content as `giltrace.export.perfetto`, as far as the format goes. It knows only processes
and threads, so each GIL is shown as a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from giltrace._version import __version__
from giltrace.export import labels
from giltrace.export.assembly import Assembly, Objects, Template, template
from giltrace.export.lanes import Lane, Lanes
from giltrace.export.points import Kind, Points, turns, utilisation, walk
from giltrace.export.shapes import (
    AcquireShape,
    DropRequestShape,
    Gap,
    GiveUpShape,
    ReleaseShape,
    Shapes,
    UtilisationShape,
    WaitShape,
)
from giltrace.export.states import State

if TYPE_CHECKING:
    from giltrace.model import Trace
    from giltrace.model.tables import I8, Thread

_SEPARATOR: Final = ",\n"

_GIL_PIDS: Final = (1 << 22) + 1
"""Process ids for GILs: Linux has none above 2**22."""
_HOLDER_TID: Final = 1
_DROP_REQUEST_TID: Final = 2
_GIL_ROWS: Final = {
    _HOLDER_TID: labels.HOLDER_TRACK,
    _DROP_REQUEST_TID: labels.DROP_REQUEST_TRACK,
}
_LANE_TIDS: Final = 10
_CATEGORY: Final = "gil"

# Names of colours: Perfetto has its own idea, older viewers follow these.
_GREEN, _RED, _GREY = "thread_state_running", "terrible", "grey"

_Id: TypeAlias = dict[str, int]
_Args: TypeAlias = dict[str, str | Gap]
_Parts: TypeAlias = list[str | Gap]


class ChromeExporter:
    """Exports for chrome://tracing, speedscope and the like; ``ts`` is CLOCK_MONOTONIC in µs.

    The file has every nanosecond. Readers that take times for floats lose one or two of them on
    machines that have been up for some fifty days; Perfetto's own format has no such limit.
    """

    name: Final = "chrome"
    suffix: Final = ".json"

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        lanes = Lanes(trace)
        other = {
            "version": __version__,
            "clock": "CLOCK_MONOTONIC",
            "lost_events": str(trace.lost_events),
            "notes": "\n".join(map(labels.note_label, trace.notes)),
        }
        head = f'{{"displayTimeUnit":"ns",\n"otherData":{_json(other)},\n"traceEvents":[\n'
        out.write(head.encode())
        out.write(_SEPARATOR.join(_descriptions(trace, lanes)).encode())
        lines = _Lines(trace, lanes)
        for batch in walk([*turns(trace), *utilisation(trace)]):
            encoded = lines.encode(batch)
            out.write(encoded)
        out.write(b"\n]}\n")


def _descriptions(trace: Trace, lanes: Lanes) -> Iterator[str]:
    """Names and order of processes and threads, and what the reader has to be told."""
    for gil in trace.gils:
        where = {"pid": _GIL_PIDS + gil.index}
        label = labels.gil_label(gil, trace.processes[gil.process])
        yield from _named("process", where, label, gil.index)
        for tid, name in _GIL_ROWS.items():
            yield from _named("thread", {**where, "tid": tid}, name, tid)
    for process in trace.processes:
        rank = len(trace.gils) + process.index
        where = {"pid": labels.kernel_id(process.pid)}
        yield from _named("process", where, labels.process_label(process), rank)
    for index in lanes.first_of_tid:
        thread = trace.threads[index]
        where = _thread_id(trace, thread)
        yield from _named("thread", where, labels.thread_label(thread), thread.index)
    for lane in lanes.all:
        if not lane.is_main:
            where = _lane_id(trace, lane)
            yield from _named("thread", where, labels.thread_id_label(lane.thread), lane.index)
    for note in trace.notes:
        event = {"ph": "i", "s": "g", "name": labels.note_label(note)}
        yield f'{_json(event)[:-1]},"ts":{_us(trace.start_ns)}}}'


def _named(what: str, where: _Id, label: str, rank: int) -> Iterator[str]:
    yield _json({"ph": "M", **where, "name": f"{what}_name", "args": {"name": label}})
    yield _json({"ph": "M", **where, "name": f"{what}_sort_index", "args": {"sort_index": rank}})


def _thread_id(trace: Trace, thread: Thread) -> _Id:
    return {"pid": labels.kernel_id(trace.processes[thread.process].pid), "tid": thread.tid}


def _lane_id(trace: Trace, lane: Lane) -> _Id:
    if lane.is_main:
        return _thread_id(trace, lane.thread)
    return {"pid": _GIL_PIDS + lane.gil.index, "tid": _LANE_TIDS + lane.index}


class _Lines:
    """Encodes points as lines, each with its comma before it."""

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._lanes = lanes
        self._ids = [_lane_id(trace, lane) for lane in lanes.all]
        names = _texts(map(labels.thread_id_label, trace.threads))
        self._tables = {
            Gap.PLACE: _texts(map(labels.place_label, trace.places)),
            Gap.BLAMED: names,
            Gap.WAITER: names,
            Gap.HOLDER: names,
        }
        makers: dict[Kind, Callable[[Any], Template[str]]] = {
            Kind.WAIT: self._wait,
            Kind.ACQUIRE: self._acquire,
            Kind.RELEASE: self._release,
            Kind.GIVE_UP: self._give_up,
            Kind.DROP_REQUEST: self._drop_request,
            Kind.UTILISATION: self._utilisation,
        }
        self._assembly = Assembly(Shapes(trace, lanes), makers, self._fill, "")

    def encode(self, points: Points) -> bytes:
        """The lines of a batch."""
        return self._assembly.text(points).encode()

    def _fill(self, gap: Gap, numbers: I8) -> Objects:
        if gap in self._tables:
            return self._tables[gap][numbers]
        text = _us if gap in (Gap.TIME, Gap.LEAVES) else str
        return np.array([text(number) for number in numbers.tolist()], np.object_)

    # What a point of each kind looks like.

    def _wait(self, at: WaitShape) -> Template[str]:
        args: _Args = {"requests": Gap.REQUESTS}
        if at.has_blame:
            args |= {"blame": Gap.BLAMED, "blame_where": Gap.PLACE}
        begin = _begin(self._ids[at.lane], labels.WAITING, args, colour=_RED)
        return _template(*self._ended(at), begin, self._waiters(at))

    def _acquire(self, at: AcquireShape) -> Template[str]:
        where = self._ids[at.lane]
        name = labels.thread_label(self._lanes.all[at.lane].thread)
        lines = self._ended(at)
        lines.append(_begin(where, labels.HOLDS, {"tenure": Gap.TENURE}, colour=_GREEN))
        if at.handoff:
            lines.append(_handoff({"ph": "f", "bp": "e", **where}, Gap.TIME))
        lines.append(_begin(self._holder_id(at), name, {}))
        if at.before == State.WAITS:
            lines.append(self._waiters(at))
        return _template(*lines)

    def _release(self, at: ReleaseShape) -> Template[str]:
        where = self._ids[at.lane]
        # An arrow starts at the slice around its time, so it has to leave before the end.
        lines = [_handoff({"ph": "s", **where}, Gap.LEAVES)] if at.handoff else []
        # Where and why are known at the end only; readers add them to the slice.
        args: _Args = {"cause": _json(labels.CAUSES[at.cause]), "where": Gap.PLACE}
        lines += [_end(where, args), _end(self._holder_id(at))]
        if at.after == State.OFF:
            lines.append(_begin(where, labels.OFF, {"where": Gap.PLACE}, colour=_GREY))
        return _template(*lines)

    def _give_up(self, at: GiveUpShape) -> Template[str]:
        return _template(_end(self._ids[at.lane]), self._waiters(at))

    def _drop_request(self, at: DropRequestShape) -> Template[str]:
        where = {"pid": _GIL_PIDS + at.gil, "tid": _DROP_REQUEST_TID}
        event = {"ph": "i", "s": "t", **where, "cat": _CATEGORY, "name": labels.DROP_REQUEST}
        args: _Args = {"waiter": Gap.WAITER}
        if at.has_holder:
            args["holder"] = Gap.HOLDER
        return _template(_line(event, args))

    def _utilisation(self, at: UtilisationShape) -> Template[str]:
        return _template(_counter(at.gil, labels.UTILISATION_TRACK, {"%": Gap.PERCENT}))

    def _ended(self, at: WaitShape | AcquireShape) -> list[_Parts]:
        return [] if at.before == State.NONE else [_end(self._ids[at.lane])]

    def _waiters(self, at: WaitShape | AcquireShape | GiveUpShape) -> _Parts:
        gil = self._lanes.all[at.lane].gil.index
        return _counter(gil, labels.WAITERS_TRACK, {"threads": Gap.WAITERS})

    def _holder_id(self, at: AcquireShape | ReleaseShape) -> _Id:
        return {"pid": _GIL_PIDS + self._lanes.all[at.lane].gil.index, "tid": _HOLDER_TID}


def _template(*lines: _Parts) -> Template[str]:
    return template([part for line in lines for part in (_SEPARATOR, *line)], "")


def _begin(where: _Id, name: str, args: _Args, *, colour: str = "") -> _Parts:
    event: dict[str, Any] = {"ph": "B", **where, "cat": _CATEGORY, "name": name}
    return _line({**event, "cname": colour} if colour else event, args)


def _end(where: _Id, args: _Args | None = None) -> _Parts:
    return _line({"ph": "E", **where}, args)


def _handoff(event: dict[str, Any], time: Gap) -> _Parts:
    named = _json({**event, "cat": _CATEGORY, "name": labels.HANDOFF})
    return [f'{named[:-1]},"id":', Gap.HANDOFF, ',"ts":', time, "}"]


def _counter(gil: int, name: str, args: _Args) -> _Parts:
    return _line({"ph": "C", "pid": _GIL_PIDS + gil, "name": name}, args)


def _line(event: dict[str, Any], args: _Args | None = None) -> _Parts:
    """An event at the time of the point. Arguments are JSON already."""
    parts: _Parts = [f'{_json(event)[:-1]},"ts":', Gap.TIME]
    if args:
        parts.append(',"args":{')
        for number, (name, value) in enumerate(args.items()):
            parts += [f"{',' if number else ''}{_json(name)}:", value]
        parts.append("}")
    return [*parts, "}"]


def _texts(values: Iterable[str]) -> Objects:
    return np.array([_json(value) for value in values], np.object_)


def _json(value: Any) -> str:
    # Not as ASCII: Perfetto does not take escapes out of most strings.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _us(ns: int) -> str:
    """Microseconds with all nanoseconds; a float would lose some."""
    return f"{ns // 1000}.{ns % 1000:03d}"
