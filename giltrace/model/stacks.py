"""Call stacks: FRAME events, gathered behind their releases, as numbers into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, overload

import numpy as np

from giltrace.capture.events import Kind
from giltrace.capture.records import CodeInfo
from giltrace.model.attached import attached
from giltrace.model.dense import constant, numbered
from giltrace.model.places import PlaceTable, frame_words, place_of
from giltrace.model.source import Source
from giltrace.model.tables import I4, I8

_MAX_EVENTS: Final = 128
"""FRAME events of one release that are looked at; recorders write no more than 32."""
_WORD_MASK: Final = 0xFFFF_FFFF


class Stacks(Sequence[tuple[int, ...]]):
    """The distinct call stacks: tuples of place numbers, innermost caller first; 0 is none."""

    def __init__(self, parents: Sequence[int], places: Sequence[int]) -> None:
        """Take a tree: each stack is another one, ``parents[i]``, plus one outer caller."""
        self._parents = parents
        self._places = places

    def __len__(self) -> int:
        return len(self._parents)

    @overload
    def __getitem__(self, index: int) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, ...] | list[tuple[int, ...]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        node = range(len(self))[index]
        outermost_first = []
        while node:
            outermost_first.append(self._places[node])
            node = self._parents[node]
        return tuple(reversed(outermost_first))


class StackTable:
    """All stacks of a trace while it grows, as a tree from innermost callers outwards."""

    def __init__(self) -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._parents = [0]
        self._places = [0]

    def stacks(self) -> Stacks:
        """The stacks by number."""
        return Stacks(self._parents, self._places)

    def child(self, stack: int, place: int) -> int:
        """The number of the stack that has ``place`` as one more, outer caller."""
        number = self._children.setdefault((stack, place), len(self._parents))
        if number == len(self._parents):
            self._parents.append(stack)
            self._places.append(place)
        return number


def stack_of_events(
    src: Source, codes: Mapping[int, CodeInfo], places: PlaceTable, stacks: StackTable
) -> I4:
    """int32 [events in file order]: the stack of each RELEASE, 0 elsewhere.

    All stacks grow together, by one frame at a time.
    """
    if not src.has(Kind.FRAME):
        return constant(0, len(src.kind), np.int32)
    owner, words = _frames(src)
    distinct_words, index = frame_words(words.astype(np.uint32).ravel())
    width = max(1, len(distinct_words))
    word_number = index.reshape(words.shape)
    place = [places.number(place_of(word, codes)) for word in distinct_words.tolist()]
    stack = np.zeros(len(src.kind), np.int32)
    depth = _depths(owner)
    for level in range(min(int(depth.max(initial=-1)) + 1, _MAX_EVENTS)):
        here = np.flatnonzero(depth == level)
        for column in range(2):
            rows = here[words[here, column] != 0]
            steps, which = numbered(
                stack[owner[rows]].astype(np.int64) * width + word_number[rows, column]
            )
            reached = [stacks.child(s // width, place[s % width]) for s in steps.tolist()]
            stack[owner[rows]] = np.array(reached, np.int32)[which]
    return stack


def _frames(src: Source) -> tuple[I4, I8]:
    """For each FRAME event behind a RELEASE: file position of the latter, and its two words."""
    owner, frames = attached(src, Kind.FRAME)
    words = np.empty((len(frames), 2), np.int64)
    words[:, 0] = src.payload(frames) & _WORD_MASK
    words[:, 1] = src.ts[frames] & _WORD_MASK
    return owner, words


def _depths(owner: I4) -> I8:
    """How many FRAME events of the same release come before each."""
    if len(owner) == 0:
        return owner.astype(np.int64)
    begins = np.concatenate((np.ones(1, np.bool_), owner[1:] != owner[:-1]))
    first = np.flatnonzero(begins)
    depth: I8 = np.arange(len(owner)) - first[np.cumsum(begins) - 1]
    return depth
