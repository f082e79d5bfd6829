"""Interned strings: each text is in the file once, and events refer to it by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import InternedData

from giltrace.export import labels

if TYPE_CHECKING:
    from giltrace.model import Call, Place, Thread, Trace

_Item = TypeVar("_Item")

CATEGORY: Final = 1
"""The one event category: ``gil``."""

_PER_PACKET: Final = 4096


class Name(IntEnum):
    """Numbers of the fixed event names; `Strings.thread_name` continues from here."""

    HOLDS = 1
    WAITING = 2
    OFF = 3
    DROP_REQUEST = 4
    SWITCHING = 5


class Arg(IntEnum):
    """Numbers of the names of arguments."""

    CAUSE = 1
    WHERE = 2
    EXPRESSION = 3
    CALL = 4
    STACK = 5
    BLAME = 6
    BLAME_WHERE = 7
    BLAME_EXPRESSION = 8
    REQUESTS = 9
    WAITER = 10
    HOLDER = 11
    KIND = 12


_NAMES: Final = {
    Name.HOLDS: labels.HOLDS,
    Name.WAITING: labels.WAITING,
    Name.OFF: labels.OFF,
    Name.DROP_REQUEST: labels.DROP_REQUEST,
    Name.SWITCHING: labels.SWITCHING,
}


class Strings:
    """Numbers for all texts of a trace. All of them count from 1: 0 would mean no text."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        # Names of events.
        self._first_call_name = len(Name) + 1 + len(trace.threads)
        self._first_function = self._first_call_name + len(trace.calls)
        # Values of arguments.
        self._first_kind = len(labels.CAUSES) + 1
        self._first_thread = self._first_kind + len(labels.OFF_KINDS)
        self._first_call = self._first_thread + len(trace.threads)
        self._first_place = self._first_call + len(trace.calls)
        self._first_expression = self._first_place + len(trace.places)
        self._first_stack = self._first_expression + len(trace.places)

    def thread_name(self, thread: int) -> int:
        """Number of a thread's name as an event name."""
        return len(Name) + 1 + thread

    def call_name(self, call: int) -> int:
        """Number of a call's name as an event name."""
        return self._first_call_name + call

    def function_name(self, place: int) -> int:
        """Number of the name of the function at a place as an event name."""
        return self._first_function + place

    def correlation(self, thread: int) -> int:
        """Number of the text that gives a thread's slices their colour."""
        return thread + 1

    def cause(self, cause: int) -> int:
        """Number of a cause as the value of an argument."""
        return cause + 1

    def off_kind(self, kind: int) -> int:
        """Number of an `OffKind` as the value of an argument."""
        return self._first_kind + kind

    def thread(self, thread: int) -> int:
        """Number of a thread's name and id as the value of an argument."""
        return self._first_thread + thread

    def call(self, call: int) -> int:
        """Number of a call as the value of an argument."""
        return self._first_call + call

    def place(self, place: int) -> int:
        """Number of a place as the value of an argument."""
        return self._first_place + place

    def expression(self, place: int) -> int:
        """Number of the source text at a place as the value of an argument."""
        return self._first_expression + place

    def stack(self, stack: int) -> int:
        """Number of a stack as the value of an argument."""
        return self._first_stack + stack

    def packets(self) -> Iterator[InternedData]:
        """All texts, in messages of bounded size."""
        yield self._fixed()
        trace = self._trace
        yield from _pieces(trace.threads, self._add_thread)
        yield from _pieces(trace.calls[1:], self._add_call)
        yield from _pieces(trace.places, self._add_place)
        yield from _pieces(np.unique(trace.spans.place).tolist(), self._add_function)
        yield from _pieces(range(1, len(trace.stacks)), self._add_stack)

    def _fixed(self) -> InternedData:
        data = InternedData()
        data.event_categories.add(iid=CATEGORY, name="gil")
        for name, text in _NAMES.items():
            data.event_names.add(iid=name, name=text)
        for arg in Arg:
            data.debug_annotation_names.add(iid=arg, name=arg.name.lower())
        for cause, text in enumerate(labels.CAUSES):
            _value(data, self.cause(cause), text)
        for kind, text in enumerate(labels.OFF_KINDS):
            _value(data, self.off_kind(kind), text)
        return data

    def _add_thread(self, data: InternedData, index: int, thread: Thread) -> None:
        label = labels.thread_id_label(thread)
        data.event_names.add(iid=self.thread_name(index), name=labels.thread_label(thread))
        _value(data, self.thread(index), label)
        # The viewer's colour depends on this text and, unlike a name's, on its digits.
        data.correlation_id_str.add(iid=self.correlation(index), str=label.encode())

    def _add_call(self, data: InternedData, index: int, call: Call) -> None:
        label = labels.call_label(call)
        data.event_names.add(iid=self.call_name(index + 1), name=label)
        _value(data, self.call(index + 1), label)

    def _add_place(self, data: InternedData, index: int, place: Place) -> None:
        _value(data, self.place(index), labels.place_label(place))
        # Without a source text it is empty: stacks come with it or without.
        _value(data, self.expression(index), self._trace.expressions.of(place).text)

    def _add_function(self, data: InternedData, _index: int, place: int) -> None:
        name = labels.function_label(self._trace.places[place])
        data.event_names.add(iid=self.function_name(place), name=name)

    def _add_stack(self, data: InternedData, _index: int, stack: int) -> None:
        text = labels.stack_label(self._trace, self._trace.stacks[stack])
        _value(data, self.stack(stack), text)


def _pieces(
    items: Sequence[_Item], add: Callable[[InternedData, int, _Item], None]
) -> Iterator[InternedData]:
    for start in range(0, len(items), _PER_PACKET):
        data = InternedData()
        for index, item in enumerate(items[start : start + _PER_PACKET], start):
            add(data, index, item)
        yield data


def _value(data: InternedData, iid: int, text: str) -> None:
    data.debug_annotation_string_values.add(iid=iid, str=text.encode())
