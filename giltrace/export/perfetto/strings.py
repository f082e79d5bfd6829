"""Interned strings: each text is in the file once, and events refer to it by number."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import InternedData

from giltrace.export import labels

if TYPE_CHECKING:
    from giltrace.model import Trace

CATEGORY: Final = 1
"""The one event category: ``gil``."""

_PER_PACKET: Final = 4096


class Name(IntEnum):
    """Numbers of the fixed event names; `Strings.thread_name` continues from here."""

    HOLDS = 1
    WAITING = 2
    OFF = 3
    DROP_REQUEST = 4


class Arg(IntEnum):
    """Numbers of the names of arguments."""

    CAUSE = 1
    WHERE = 2
    TENURE = 3
    BLAME = 4
    BLAME_WHERE = 5
    REQUESTS = 6
    WAITER = 7
    HOLDER = 8


_NAMES: Final = {
    Name.HOLDS: labels.HOLDS,
    Name.WAITING: labels.WAITING,
    Name.OFF: labels.OFF,
    Name.DROP_REQUEST: labels.DROP_REQUEST,
}


class Strings:
    """Numbers for all texts of a trace. All of them count from 1: 0 would mean no text."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._first_thread = len(labels.CAUSES) + 1
        self._first_place = self._first_thread + len(trace.threads)

    def thread_name(self, thread: int) -> int:
        """Number of a thread's name as an event name."""
        return len(Name) + 1 + thread

    def correlation(self, thread: int) -> int:
        """Number of the text that gives a thread's slices their colour."""
        return thread + 1

    def cause(self, cause: int) -> int:
        """Number of a cause as the value of an argument."""
        return cause + 1

    def thread(self, thread: int) -> int:
        """Number of a thread's name and id as the value of an argument."""
        return self._first_thread + thread

    def place(self, place: int) -> int:
        """Number of a place as the value of an argument."""
        return self._first_place + place

    def packets(self) -> Iterator[InternedData]:
        """All texts, in messages of bounded size."""
        yield self._fixed()
        threads, places = self._trace.threads, self._trace.places
        for at in range(0, len(threads), _PER_PACKET):
            data = InternedData()
            for thread in threads[at : at + _PER_PACKET]:
                label = labels.thread_id_label(thread)
                data.event_names.add(
                    iid=self.thread_name(thread.index), name=labels.thread_label(thread)
                )
                _value(data, self.thread(thread.index), label)
                # The viewer's colour depends on this text and, unlike a name's, on its digits.
                data.correlation_id_str.add(iid=self.correlation(thread.index), str=label.encode())
            yield data
        for at in range(0, len(places), _PER_PACKET):
            data = InternedData()
            for index, place in enumerate(places[at : at + _PER_PACKET], at):
                _value(data, self.place(index), labels.place_label(place))
            yield data

    def _fixed(self) -> InternedData:
        data = InternedData()
        data.event_categories.add(iid=CATEGORY, name="gil")
        for name, text in _NAMES.items():
            data.event_names.add(iid=name, name=text)
        for arg in Arg:
            data.debug_annotation_names.add(iid=arg, name=arg.name.lower())
        for cause, text in enumerate(labels.CAUSES):
            _value(data, self.cause(cause), text)
        return data


def _value(data: InternedData, iid: int, text: str) -> None:
    data.debug_annotation_string_values.add(iid=iid, str=text.encode())
