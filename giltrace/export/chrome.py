"""Chrome's trace event format: JSON for viewers other than Perfetto's, and for scripts.

The same content as `giltrace.export.perfetto`, as far as the format goes. It knows only processes
and threads, so each GIL is shown as a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from giltrace._version import __version__
from giltrace.export import labels
from giltrace.export.assembly import Assembly, Objects, Template, template
from giltrace.export.lanes import Lane, Lanes
from giltrace.export.points import Kind, Points, functions, turns, utilisation, walk
from giltrace.export.remarks import Extras, Remark, extras
from giltrace.export.shapes import (
    WITH_STACK,
    WITH_TEXT,
    AcquireShape,
    DropRequestShape,
    FunctionShape,
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
_LOST_TID: Final = 3
_GIL_ROWS: Final = {
    _HOLDER_TID: labels.HOLDER_TRACK,
    _DROP_REQUEST_TID: labels.DROP_REQUEST_TRACK,
    _LOST_TID: labels.LOST_TRACK,
}
_LANE_TIDS: Final = 10
# Above all thread ids of Linux.
_FINDING_TIDS: Final = 1 << 22
_FUNCTION_TIDS: Final = 1 << 23
_CATEGORY: Final = "gil"

# Names of colours: Perfetto has its own idea, older viewers follow these.
_GREEN, _RED, _GREY = "thread_state_running", "terrible", "grey"

_TIMES: Final = (Gap.TIME, Gap.LEAVES, Gap.CLOCK, Gap.OFF_CLOCK)

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
        said = extras(trace)
        out.write(b"[\n")
        out.write(_SEPARATOR.join(_head(trace, lanes, said)).encode())
        lines = _Lines(trace, lanes)
        for batch in walk([*turns(trace), *utilisation(trace), *functions(trace)]):
            encoded = lines.encode(batch)
            out.write(encoded)
        out.write(b"\n]\n")


def _head(trace: Trace, lanes: Lanes, said: Extras) -> Iterator[str]:
    """What comes before the points: facts about the file, and everything of which there is little.

    Viewers take an array without its end; that is why the facts are an event like all others.
    """
    facts = {
        "version": __version__,
        "clock": "CLOCK_MONOTONIC",
        "lost_events": str(trace.lost_events),
        "notes": "\n".join(map(labels.note_label, trace.notes)),
    }
    yield _json({"ph": "M", "pid": 0, "tid": 0, "name": "dev.giltrace", "args": facts})
    yield from _descriptions(trace, lanes)
    for remark in said.remarks:
        yield from _remark(remark)
    for counter in said.counters:
        pid = labels.kernel_id(trace.processes[counter.process].pid)
        for ts_ns, value in counter.points:
            event = {"ph": "C", "pid": pid, "name": counter.name}
            yield _at(event, ts_ns, {counter.unit: round(value, 3)})


def _descriptions(trace: Trace, lanes: Lanes) -> Iterator[str]:
    """Names and order of processes and threads."""
    for gil in trace.gils:
        where = {"pid": _GIL_PIDS + gil.index}
        label = labels.gil_label(gil, trace.processes[gil.process])
        yield from _named("process", where, label, gil.index)
        for tid, name in _GIL_ROWS.items():
            if tid != _LOST_TID or len(trace.breaks):
                yield from _named("thread", {**where, "tid": tid}, name, tid)
    for process in trace.processes:
        rank = len(trace.gils) + process.index
        where = {"pid": labels.kernel_id(process.pid)}
        yield from _named("process", where, labels.process_label(process), rank)
    for index in lanes.first_of_tid:
        thread = trace.threads[index]
        where = _thread_id(trace, thread)
        yield from _named("thread", where, labels.thread_label(thread), 2 * index)
    for lane in lanes.all:
        if not lane.is_main:
            where = _lane_id(trace, lane)
            yield from _named("thread", where, labels.thread_id_label(lane.thread), lane.index)
    for index in np.unique(trace.spans.thread).tolist():
        thread = trace.threads[index]
        name = labels.functions_label(thread)
        yield from _named("thread", _functions_id(trace, thread), name, 2 * index + 1)


def _remark(remark: Remark) -> Iterator[str]:
    if remark.gil is None:
        yield _at({"ph": "i", "s": "g", "name": remark.name}, remark.start_ns, remark.args)
        return
    pid = _GIL_PIDS + remark.gil
    if remark.end_ns is None:
        event = {"ph": "i", "s": "t", "pid": pid, "tid": _LOST_TID, "name": remark.name}
        yield _at(event, remark.start_ns, remark.args)
        return
    where = {"pid": pid, "tid": _FINDING_TIDS + remark.row}
    yield from _named("thread", where, remark.track, 0)
    event = {"ph": "B", **where, "cat": "giltrace", "name": remark.name}
    yield _at(event, remark.start_ns, remark.args)
    yield _at({"ph": "E", **where}, remark.end_ns, {})


def _at(event: dict[str, Any], ts_ns: int, args: Mapping[str, Any]) -> str:
    """An event at one time; a number would lose nanoseconds."""
    line = f'{_json(event)[:-1]},"ts":{_us(ts_ns)}'
    return f'{line},"args":{_json(args)}}}' if args else f"{line}}}"


def _named(what: str, where: _Id, label: str, rank: int) -> Iterator[str]:
    yield _json({"ph": "M", **where, "name": f"{what}_name", "args": {"name": label}})
    yield _json({"ph": "M", **where, "name": f"{what}_sort_index", "args": {"sort_index": rank}})


def _thread_id(trace: Trace, thread: Thread) -> _Id:
    return {"pid": labels.kernel_id(trace.processes[thread.process].pid), "tid": thread.tid}


def _functions_id(trace: Trace, thread: Thread) -> _Id:
    pid = labels.kernel_id(trace.processes[thread.process].pid)
    return {"pid": pid, "tid": _FUNCTION_TIDS + thread.index}


def _lane_id(trace: Trace, lane: Lane) -> _Id:
    if lane.is_main:
        return _thread_id(trace, lane.thread)
    return {"pid": _GIL_PIDS + lane.gil.index, "tid": _LANE_TIDS + lane.index}


class _Lines:
    """Encodes points as lines, each with its comma before it."""

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._calls = trace.calls
        self._lanes = lanes
        self._ids = [_lane_id(trace, lane) for lane in lanes.all]
        names = _texts(map(labels.thread_id_label, trace.threads))
        self._tables = {
            Gap.PLACE: _texts(map(labels.place_label, trace.places)),
            Gap.EXPRESSION: _texts(trace.expressions.of(place).text for place in trace.places),
            Gap.STACK: _texts(labels.stack_label(trace, stack) for stack in trace.stacks),
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
            Kind.ENTER: self._enter,
            Kind.LEAVE: self._leave,
        }
        self._assembly = Assembly(Shapes(trace, lanes), makers, self._fill, "")

    def encode(self, points: Points) -> bytes:
        """The lines of a batch."""
        return self._assembly.text(points).encode()

    def _fill(self, gap: Gap, numbers: I8) -> Objects:
        if gap in self._tables:
            return self._tables[gap][numbers]
        text = _us if gap in _TIMES else str
        return np.array([text(number) for number in numbers.tolist()], np.object_)

    # What a point of each kind looks like.

    def _wait(self, at: WaitShape) -> Template[str]:
        args: _Args = {"requests": Gap.REQUESTS}
        if at.blame:
            args |= {"blame": Gap.BLAMED, "blame_where": Gap.PLACE}
        if at.blame == WITH_TEXT:
            args["blame_expression"] = Gap.EXPRESSION
        begin = _begin(self._ids[at.lane], labels.WAITING, args, colour=_RED)
        return _template(*self._ended(at), begin, self._waiters(at))

    def _acquire(self, at: AcquireShape) -> Template[str]:
        where = self._ids[at.lane]
        name = labels.thread_label(self._lanes.all[at.lane].thread)
        clock = Gap.CLOCK if at.clock else None
        lines = [*self._ended(at), _begin(where, labels.HOLDS, {}, colour=_GREEN, clock=clock)]
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
        args: _Args = {"cause": _json(labels.CAUSES[at.cause]), **self._where(at)}
        lines.append(_end(where, args, clock=Gap.CLOCK if at.clock else None))
        lines.append(_end(self._holder_id(at)))
        return _template(*lines, *self._off(at))

    def _off(self, at: ReleaseShape) -> list[_Parts]:
        if at.after == State.NONE:
            return []
        where = self._ids[at.lane]
        name = labels.SWITCHING if at.after == State.SWITCHES else labels.OFF
        clock = Gap.CLOCK if at.off_clock else None
        if at.after == State.IN_CALL:
            call = _begin(where, labels.call_label(self._calls[at.call]), self._where(at))
            return [_begin(where, name, {}, colour=_GREY, clock=clock), call]
        return [_begin(where, name, self._where(at), colour=_GREY, clock=clock)]

    def _where(self, at: ReleaseShape) -> _Args:
        args: _Args = {}
        if at.place:
            args["where"] = Gap.PLACE
        if at.place >= WITH_TEXT:
            args["expression"] = Gap.EXPRESSION
        if at.place == WITH_STACK:
            args["stack"] = Gap.STACK
        if at.call:
            args["call"] = _json(labels.call_label(self._calls[at.call]))
        return args

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

    def _enter(self, at: FunctionShape) -> Template[str]:
        place = self._trace.places[at.place]
        args: _Args = {"where": _json(labels.place_label(place))} if at.place else {}
        where = _functions_id(self._trace, self._trace.threads[at.thread])
        return _template(_begin(where, labels.function_label(place), args))

    def _leave(self, at: FunctionShape) -> Template[str]:
        return _template(_end(_functions_id(self._trace, self._trace.threads[at.thread])))

    def _ended(self, at: WaitShape | AcquireShape) -> list[_Parts]:
        where = self._ids[at.lane]
        if at.before in (State.NONE, State.WAITS):
            return [_end(where)] if at.before else []
        args: _Args = {"kind": _json(labels.OFF_KINDS[at.off_kind])} if at.off_kind else {}
        off = _end(where, args, clock=Gap.OFF_CLOCK if at.off_clock else None)
        return [_end(where), off] if at.before == State.IN_CALL else [off]

    def _waiters(self, at: WaitShape | AcquireShape | GiveUpShape) -> _Parts:
        gil = self._lanes.all[at.lane].gil.index
        return _counter(gil, labels.WAITERS_TRACK, {"threads": Gap.WAITERS})

    def _holder_id(self, at: AcquireShape | ReleaseShape) -> _Id:
        return {"pid": _GIL_PIDS + self._lanes.all[at.lane].gil.index, "tid": _HOLDER_TID}


def _template(*lines: _Parts) -> Template[str]:
    return template([part for line in lines for part in (_SEPARATOR, *line)], "")


def _begin(
    where: _Id, name: str, args: _Args, *, colour: str = "", clock: Gap | None = None
) -> _Parts:
    event: dict[str, Any] = {"ph": "B", **where, "cat": _CATEGORY, "name": name}
    return _line({**event, "cname": colour} if colour else event, args, clock)


def _end(where: _Id, args: _Args | None = None, *, clock: Gap | None = None) -> _Parts:
    return _line({"ph": "E", **where}, args, clock)


def _handoff(event: dict[str, Any], time: Gap) -> _Parts:
    named = _json({**event, "cat": _CATEGORY, "name": labels.HANDOFF})
    return [f'{named[:-1]},"id":', Gap.HANDOFF, ',"ts":', time, "}"]


def _counter(gil: int, name: str, args: _Args) -> _Parts:
    return _line({"ph": "C", "pid": _GIL_PIDS + gil, "name": name}, args)


def _line(event: dict[str, Any], args: _Args | None = None, clock: Gap | None = None) -> _Parts:
    """An event at the time of the point, and of its thread's CPU clock. Arguments are JSON."""
    parts: _Parts = [f'{_json(event)[:-1]},"ts":', Gap.TIME]
    if clock:
        parts += [',"tts":', clock]
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
