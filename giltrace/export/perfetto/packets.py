"""Event packets: what each kind of point looks like in Perfetto.

A point becomes one to four packets with one timestamp. All lengths in them are constants, because
the numbers in their gaps are varints of fixed width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from giltrace.export.assembly import Assembly, Objects, Template, template
from giltrace.export.lanes import Lanes
from giltrace.export.perfetto import wire
from giltrace.export.perfetto.layout import Layout
from giltrace.export.perfetto.strings import CATEGORY, Arg, Name, Strings
from giltrace.export.points import Kind, Points
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

    def __init__(self, trace: Trace, lanes: Lanes, layout: Layout, strings: Strings) -> None:
        self._lanes = lanes
        self._layout = layout
        self._strings = strings
        self._tables = _tables(trace, lanes, strings)
        self._widths = {gap: len(table[0]) for gap, table in self._tables.items()}
        self._widths[Gap.STEP] = wire.padded_width(max(trace.end_ns - trace.start_ns, 0))
        shapes = Shapes(trace, lanes)
        self._widths[Gap.CLOCK] = wire.padded_width(shapes.last_clock)
        self._widths[Gap.OFF_CLOCK] = self._widths[Gap.CLOCK]
        self._widths[Gap.REQUESTS] = wire.padded_width(int(trace.waits.requests.max(initial=0)))
        makers: dict[Kind, Callable[[Any], Template[bytes]]] = {
            Kind.WAIT: self._wait,
            Kind.ACQUIRE: self._acquire,
            Kind.RELEASE: self._release,
            Kind.GIVE_UP: self._give_up,
            Kind.DROP_REQUEST: self._drop_request,
            Kind.UTILISATION: self._utilisation,
            Kind.ENTER: self._enter,
            Kind.LEAVE: self._leave,
        }
        self._assembly = Assembly(shapes, makers, self._fill, b"")

    def encode(self, points: Points) -> bytes:
        """The packets of a batch."""
        return self._assembly.text(points)

    def _fill(self, gap: Gap, numbers: I8) -> Objects:
        if gap in self._tables:
            table = self._tables[gap]
            # Of waits without a length, which damage may leave, a thread can begin one at the very
            # instant at which another of its ends: two waiters, where there is one.
            return table[np.minimum(numbers, len(table) - 1) if gap is Gap.WAITERS else numbers]
        return wire.padded_varints(numbers, self._widths[gap])

    # What a point of each kind looks like.

    def _wait(self, at: WaitShape) -> Template[bytes]:
        event: Parts = [_begin(self._layout.lanes[at.lane], Name.WAITING)]
        if at.blame:
            event += self._open_text(Arg.BLAME, Gap.BLAMED)
            event += self._open_text(Arg.BLAME_WHERE, Gap.PLACE)
        if at.blame == WITH_TEXT:
            event += self._open_text(Arg.BLAME_EXPRESSION, Gap.EXPRESSION)
        event += self._open_number(Arg.REQUESTS, Gap.REQUESTS)
        return self._packets(*self._ended(at), event, self._waiters(at))

    def _acquire(self, at: AcquireShape) -> Template[bytes]:
        lane = self._lanes.all[at.lane]
        holder_track = self._layout.gils[lane.gil.index].holder
        holder = _begin(holder_track, self._strings.thread_name(lane.thread.index))
        holder += wire.number(wire.EVENT_CORRELATION, self._strings.correlation(lane.thread.index))
        state: Parts = [_begin(self._layout.lanes[at.lane], Name.HOLDS)]
        if at.clock:
            state += self._clock(at.lane, Gap.CLOCK)
        if at.handoff:
            state.append(wire.fixed64(wire.EVENT_FLOW_END, _FLOWS + lane.gil.index))
        waiters = [self._waiters(at)] if at.before == State.WAITS else []
        return self._packets(*self._ended(at), *waiters, [holder], state)

    def _release(self, at: ReleaseShape) -> Template[bytes]:
        gil = self._lanes.all[at.lane].gil.index
        # Where and why are known at the end only; readers add them to the slice.
        state: Parts = [_end(self._layout.lanes[at.lane])]
        if at.clock:
            state += self._clock(at.lane, Gap.CLOCK)
        if at.handoff:
            state.append(wire.fixed64(wire.EVENT_FLOW, _FLOWS + gil))
        state.append(_text(Arg.CAUSE, self._strings.cause(at.cause)))
        state += self._where(at)
        events: list[Parts] = [[_end(self._layout.gils[gil].holder)], state]
        return self._packets(*events, *self._off(at))

    def _off(self, at: ReleaseShape) -> list[Parts]:
        """What follows a release: a slice, and in it one for the call that the thread is in."""
        if at.after == State.NONE:
            return []
        track = self._layout.lanes[at.lane]
        name = Name.SWITCHING if at.after == State.SWITCHES else Name.OFF
        off: Parts = [_begin(track, name)]
        if at.off_clock:
            off += self._clock(at.lane, Gap.CLOCK)
        if at.after == State.IN_CALL:
            call: Parts = [_begin(track, self._strings.call_name(at.call)), *self._where(at)]
            return [off, call]
        return [[*off, *self._where(at)]]

    def _where(self, at: ReleaseShape) -> Parts:
        parts: Parts = []
        if at.place:
            parts += self._open_text(Arg.WHERE, Gap.PLACE)
        if at.place >= WITH_TEXT:
            parts += self._open_text(Arg.EXPRESSION, Gap.EXPRESSION)
        if at.place == WITH_STACK:
            parts += self._open_text(Arg.STACK, Gap.STACK)
        if at.call:
            parts.append(_text(Arg.CALL, self._strings.call(at.call)))
        return parts

    def _clock(self, lane: int, gap: Gap) -> Parts:
        """The thread's CPU clock: of its values at both ends, readers make the slice's CPU time."""
        track = wire.number(wire.EVENT_EXTRA_TRACKS, self._layout.clocks[lane])
        return [track + wire.open_number(wire.EVENT_EXTRA_VALUES), gap]

    def _give_up(self, at: GiveUpShape) -> Template[bytes]:
        return self._packets([_end(self._layout.lanes[at.lane])], self._waiters(at))

    def _enter(self, at: FunctionShape) -> Template[bytes]:
        track = self._layout.functions[at.thread]
        event: Parts = [_begin(track, self._strings.function_name(at.place))]
        if at.place:
            event.append(_text(Arg.WHERE, self._strings.place(at.place)))
        return self._packets(event)

    def _leave(self, at: FunctionShape) -> Template[bytes]:
        return self._packets([_end(self._layout.functions[at.thread])])

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
        """The ends of what a new slice of the same lane follows, if there was anything."""
        if at.before == State.NONE:
            return []
        end: Parts = [_end(self._layout.lanes[at.lane])]
        if at.before == State.WAITS:
            return [end]
        last = end[:]
        if at.off_clock:
            last += self._clock(at.lane, Gap.OFF_CLOCK)
        if at.off_kind:
            last.append(_text(Arg.KIND, self._strings.off_kind(at.off_kind)))
        return [end, last] if at.before == State.IN_CALL else [last]

    def _waiters(self, at: WaitShape | AcquireShape | GiveUpShape) -> Parts:
        gil = self._lanes.all[at.lane].gil.index
        return _counter(self._layout.gils[gil].waiters, Gap.WAITERS)

    def _packets(self, *events: Parts) -> Template[bytes]:
        """Packets around these events: the first with the time, the others at the same."""
        parts: Parts = []
        time: Parts = [_TIMESTAMP, Gap.STEP]
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
    expressions = np.arange(len(trace.places) + 1) + strings.expression(0)
    stacks = np.arange(len(trace.stacks) + 1) + strings.stack(0)
    tables = {Gap.PLACE: places, Gap.EXPRESSION: expressions, Gap.STACK: stacks}
    tables |= {Gap.WAITERS: counts, Gap.PERCENT: percents}
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
