"""Event packets: what each kind of point looks like in Perfetto.

A point becomes one to four packets with one timestamp. All lengths in them are constants, because
the numbers in their gaps are varints of fixed width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from giltrace.export.assembly import Assembly, Objects, Template, template
from giltrace.export.lanes import Lanes
from giltrace.export.perfetto import wire
from giltrace.export.perfetto.layout import Layout
from giltrace.export.perfetto.strings import CATEGORY, Arg, Name, Strings
from giltrace.export.points import Kind, Points
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
from giltrace.model.tables import I8

if TYPE_CHECKING:
    from giltrace.model import Trace

SEQUENCE: Final = 1
"""Id of the one packet sequence: the scope of interned strings and of the time differences."""

_FLOWS: Final = 0x6769_6C00_0000_0000
"""Flow ids count from here. A GIL needs only one: a hand-off is over before the next begins."""

_NEEDS_STATE: Final = 2
_SEQUENCE_FIELDS: Final = wire.number(wire.SEQUENCE_ID, SEQUENCE) + wire.number(
    wire.SEQUENCE_FLAGS, _NEEDS_STATE
)
_CATEGORY: Final = wire.number(wire.EVENT_CATEGORY, CATEGORY)
_TIMESTAMP: Final = wire.open_number(wire.TIMESTAMP)
_SAME_TIME: Final = wire.number(wire.TIMESTAMP, 0)

Parts: TypeAlias = list[bytes | Gap]


class Packets:
    """Encodes points. Batches have to come in order, for times are differences."""

    def __init__(
        self, trace: Trace, lanes: Lanes, layout: Layout, strings: Strings, start_ns: int
    ) -> None:
        """The first difference is to ``start_ns``."""
        self._lanes = lanes
        self._layout = layout
        self._strings = strings
        self._last_ns = start_ns
        self._tables = _tables(trace, lanes, strings)
        self._widths = {gap: len(table[0]) for gap, table in self._tables.items()}
        self._widths[Gap.TIME] = wire.padded_width(max(trace.end_ns - start_ns, 0))
        self._widths[Gap.TENURE] = wire.padded_width(int(trace.holds.tenure.max(initial=0)))
        self._widths[Gap.REQUESTS] = wire.padded_width(int(trace.waits.requests.max(initial=0)))
        makers: dict[Kind, Callable[[Any], Template[bytes]]] = {
            Kind.WAIT: self._wait,
            Kind.ACQUIRE: self._acquire,
            Kind.RELEASE: self._release,
            Kind.GIVE_UP: self._give_up,
            Kind.DROP_REQUEST: self._drop_request,
            Kind.UTILISATION: self._utilisation,
        }
        self._assembly = Assembly(Shapes(trace, lanes), makers, self._fill, b"")

    def encode(self, points: Points) -> bytes:
        """The packets of a batch."""
        differences = np.diff(points.ts, prepend=self._last_ns)
        self._last_ns = int(points.ts[-1])
        return self._assembly.text(replace(points, ts=differences))

    def _fill(self, gap: Gap, numbers: I8) -> Objects:
        if gap in self._tables:
            return self._tables[gap][numbers]
        return wire.padded_varints(numbers, self._widths[gap])

    # What a point of each kind looks like.

    def _wait(self, at: WaitShape) -> Template[bytes]:
        event: Parts = [_begin(self._layout.lanes[at.lane], Name.WAITING)]
        if at.has_blame:
            event += self._open_text(Arg.BLAME, Gap.BLAMED)
            event += self._open_text(Arg.BLAME_WHERE, Gap.PLACE)
        event += self._open_number(Arg.REQUESTS, Gap.REQUESTS)
        return self._packets(*self._ended(at), event, self._waiters(at))

    def _acquire(self, at: AcquireShape) -> Template[bytes]:
        lane = self._lanes.all[at.lane]
        holder_track = self._layout.gils[lane.gil.index].holder
        holder = _begin(holder_track, self._strings.thread_name(lane.thread.index))
        holder += wire.number(wire.EVENT_CORRELATION, self._strings.correlation(lane.thread.index))
        state: Parts = [_begin(self._layout.lanes[at.lane], Name.HOLDS)]
        if at.handoff:
            state.append(wire.fixed64(wire.EVENT_FLOW_END, _FLOWS + lane.gil.index))
        state += self._open_number(Arg.TENURE, Gap.TENURE)
        waiters = [self._waiters(at)] if at.before == State.WAITS else []
        return self._packets(*self._ended(at), *waiters, [holder], state)

    def _release(self, at: ReleaseShape) -> Template[bytes]:
        gil = self._lanes.all[at.lane].gil.index
        track = self._layout.lanes[at.lane]
        # Where and why are known at the end only; readers add them to the slice.
        state: Parts = [_end(track)]
        if at.handoff:
            state.append(wire.fixed64(wire.EVENT_FLOW, _FLOWS + gil))
        state.append(_text(Arg.CAUSE, self._strings.cause(at.cause)))
        state += self._open_text(Arg.WHERE, Gap.PLACE)
        events: list[Parts] = [[_end(self._layout.gils[gil].holder)], state]
        if at.after == State.OFF:
            events.append([_begin(track, Name.OFF), *self._open_text(Arg.WHERE, Gap.PLACE)])
        return self._packets(*events)

    def _give_up(self, at: GiveUpShape) -> Template[bytes]:
        return self._packets([_end(self._layout.lanes[at.lane])], self._waiters(at))

    def _drop_request(self, at: DropRequestShape) -> Template[bytes]:
        event: Parts = [_event(wire.INSTANT, self._layout.gils[at.gil].drop_requests)]
        event += [wire.number(wire.EVENT_NAME, Name.DROP_REQUEST), _CATEGORY]
        event += self._open_text(Arg.WAITER, Gap.WAITER)
        if at.has_holder:
            event += self._open_text(Arg.HOLDER, Gap.HOLDER)
        return self._packets(event)

    def _utilisation(self, at: UtilisationShape) -> Template[bytes]:
        return self._packets(_counter(self._layout.gils[at.gil].utilisation, Gap.PERCENT))

    def _ended(self, at: WaitShape | AcquireShape) -> list[Parts]:
        """The end of the slice that a new one of the same lane follows, if there was one."""
        return [] if at.before == State.NONE else [[_end(self._layout.lanes[at.lane])]]

    def _waiters(self, at: WaitShape | AcquireShape | GiveUpShape) -> Parts:
        gil = self._lanes.all[at.lane].gil.index
        return _counter(self._layout.gils[gil].waiters, Gap.WAITERS)

    def _packets(self, *events: Parts) -> Template[bytes]:
        """Packets around these events: the first with the time, the others at the same."""
        parts: Parts = []
        time: Parts = [_TIMESTAMP, Gap.TIME]
        for event in events:
            header = _SEQUENCE_FIELDS + wire.header(wire.TRACK_EVENT, self._length(event))
            body = [*time, header, *event]
            parts += [wire.header(wire.TRACE_PACKET, self._length(body)), *body]
            time = [_SAME_TIME]
        return template(parts, b"")

    def _open_text(self, arg: Arg, gap: Gap) -> Parts:
        return self._arg(arg, [wire.open_number(wire.ANNOTATION_STRING), gap])

    def _open_number(self, arg: Arg, gap: Gap) -> Parts:
        return self._arg(arg, [wire.open_number(wire.ANNOTATION_UINT), gap])

    def _arg(self, arg: Arg, value: Parts) -> Parts:
        content = [wire.number(wire.ANNOTATION_NAME, arg), *value]
        return [wire.header(wire.EVENT_ANNOTATION, self._length(content)), *content]

    def _length(self, parts: Parts) -> int:
        return sum(self._widths[part] if isinstance(part, Gap) else len(part) for part in parts)


def _tables(trace: Trace, lanes: Lanes, strings: Strings) -> dict[Gap, Objects]:
    """The bytes of all numbers that can come into a gap, where they are few enough."""
    threads = np.arange(len(trace.threads) + 1) + strings.thread(0)
    places = np.arange(len(trace.places) + 1) + strings.place(0)
    counts = np.arange(len(lanes.all) + 1)
    percents = np.arange(101)
    tables = {Gap.PLACE: places, Gap.WAITERS: counts, Gap.PERCENT: percents}
    tables |= dict.fromkeys((Gap.BLAMED, Gap.WAITER, Gap.HOLDER), threads)
    return {
        gap: wire.padded_varints(numbers, wire.padded_width(int(numbers[-1])))
        for gap, numbers in tables.items()
    }


def _event(kind: int, track: int) -> bytes:
    return wire.number(wire.EVENT_TYPE, kind) + wire.number(wire.EVENT_TRACK, track)


def _begin(track: int, name: int) -> bytes:
    return _event(wire.BEGIN, track) + wire.number(wire.EVENT_NAME, name) + _CATEGORY


def _end(track: int) -> bytes:
    return _event(wire.END, track)


def _counter(track: int, value: Gap) -> Parts:
    return [_event(wire.COUNTER, track) + wire.open_number(wire.EVENT_COUNTER_VALUE), value]


def _text(arg: Arg, value: int) -> bytes:
    content = wire.number(wire.ANNOTATION_NAME, arg) + wire.number(wire.ANNOTATION_STRING, value)
    return wire.blob(wire.EVENT_ANNOTATION, content)
