"""Finding threads, functions and calls of a trace by their names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from giltrace.model import Trace
from giltrace.model.tables import I8, Bool
from giltrace.model.text import printable
from giltrace.tui.source import Hit, Lane
from giltrace.wording.human import count


class Names:
    """The names of a trace. Functions and calls are known by numbers of their own."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def search(self, text: str, lanes: list[Lane], limit: int) -> list[Hit]:
        """What has a text in its name; what is there most comes first, threads before all.

        Args:
            text: to find; capital letters count if there are any in it.
            lanes: the lanes of threads.
            limit: how many at most.
        """
        found = [
            Hit("thread", lane.label, "", lane=lane.index)
            for lane in lanes
            if not lane.is_gil and _has(lane.label, text)
        ]
        others = sorted(self._others(text), key=lambda one: (-one[0], one[1].label))
        return [*found[:limit], *(hit for _, hit in others)][:limit]

    def holds_of(self, hit: Hit) -> Bool:
        """Bool [holds]: it was released in that function or call."""
        holds = self._trace.holds
        is_in: Bool = holds.call == hit.key
        if hit.kind == "function":
            is_in = self._function_of_place[holds.place] == hit.key
        return is_in

    def spans_of(self, hit: Hit) -> I8:
        """int64: the function spans of that function, by thread and start."""
        if hit.kind != "function" or not len(self._trace.spans):
            return np.zeros(0, np.int64)
        return np.flatnonzero(self._function_of_place[self._trace.spans.place] == hit.key)

    def _others(self, text: str) -> Iterator[tuple[int, Hit]]:
        trace = self._trace
        for key, (label, where) in enumerate(self._functions):
            if not _has(label, text) and not _has(where, text):
                continue
            holds, spans = int(self._holds_in[key]), int(self._spans_in[key])
            note = count(holds, "release") if holds or not spans else count(spans, "call")
            if key and holds + spans:
                yield holds + spans, Hit("function", f"{label} ({where})", note, key=key)
        released = np.bincount(trace.holds.call, minlength=len(trace.calls))
        for key, call in enumerate(trace.calls):
            if key and released[key] and (_has(call.label, text) or _has(call.name, text)):
                note = count(int(released[key]), "release")
                yield int(released[key]), Hit("call", printable(call.label), note, key=key)

    @cached_property
    def _functions(self) -> list[tuple[str, str]]:
        """Name and file of each function; number 0 is the unknown one."""
        return [*self._numbers]

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], int]:
        numbers = {("", ""): 0}
        for place in self._trace.places:
            key = printable(place.qualname), printable(place.basename)
            numbers.setdefault(key, len(numbers))
        return numbers

    @cached_property
    def _function_of_place(self) -> I8:
        numbers = self._numbers
        return np.array(
            [
                numbers[printable(place.qualname), printable(place.basename)]
                for place in self._trace.places
            ],
            np.int64,
        )

    @cached_property
    def _holds_in(self) -> I8:
        places = np.bincount(self._trace.holds.place, minlength=len(self._trace.places))
        return self._by_function(places)

    @cached_property
    def _spans_in(self) -> I8:
        places = np.bincount(self._trace.spans.place, minlength=len(self._trace.places))
        return self._by_function(places)

    def _by_function(self, places: I8) -> I8:
        total = np.zeros(len(self._functions), np.int64)
        np.add.at(total, self._function_of_place, places)
        return total


def _has(name: str, text: str) -> bool:
    return text in name if text != text.lower() else text in name.lower()
