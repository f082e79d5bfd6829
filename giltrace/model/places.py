"""Positions in source: from (code, lasti) pairs, each resolved once, to `Place` objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from giltrace.capture.events import CODE_UNKNOWN, FIELD_MASK, LASTI_SHIFT
from giltrace.capture.linetable import position
from giltrace.capture.records import CodeInfo
from giltrace.model.dense import gather, numbered
from giltrace.model.tables import I4, I8, U2, UNKNOWN_PLACE, Place


class PlaceTable:
    """All places of a trace; equal places of several processes are one. Number 0 is unknown."""

    def __init__(self) -> None:
        self._numbers: dict[Place, int] = {UNKNOWN_PLACE: 0}

    def places(self) -> tuple[Place, ...]:
        """The places in the order of their numbers."""
        return tuple(self._numbers)

    def number(self, place: Place) -> int:
        """The number of a place, a new one if it was not seen before."""
        return self._numbers.setdefault(place, len(self._numbers))

    def resolve(self, code: U2, lasti: U2, codes: Mapping[int, CodeInfo]) -> I4:
        """int32 [n]: the numbers of places, given as columns of code ids and instructions.

        Args:
            code: uint16 [n].
            lasti: uint16 [n], in code units.
            codes: the code objects of the process by id.
        """
        words, index = frame_words(code, lasti)
        found = [self.number(place_of(word, codes)) for word in words.tolist()]
        return gather(np.array(found, np.int32), index)


def frame_words(code: U2, lasti: U2) -> tuple[I8, I4]:
    """The distinct frame words (``code:16 lasti:16``), and for each pair its place among them.

    A process uses few code objects, and of each few instructions: numbering both first makes the
    keys small enough for a table instead of a sort.
    """
    codes, key = numbered(code)
    lastis, lasti_rank = numbered(lasti)
    if len(codes) * max(1, len(lastis)) <= np.iinfo(np.int32).max:
        key *= np.int32(len(lastis))
        key += lasti_rank
        keys, index = numbered(key)
    else:
        keys, index = numbered(key.astype(np.int64) * len(lastis) + lasti_rank)
    words = codes[keys // max(1, len(lastis))] | lastis[keys % max(1, len(lastis))] << LASTI_SHIFT
    return words, index


def place_of(word: int, codes: Mapping[int, CodeInfo]) -> Place:
    """The place of one frame word."""
    code = codes.get(word & FIELD_MASK)
    if code is None or code.code == CODE_UNKNOWN:
        return UNKNOWN_PLACE
    where = position(code.linetable, code.firstlineno, word >> LASTI_SHIFT & FIELD_MASK)
    return Place(
        code.filename,
        where.line or 0,
        code.qualname,
        where.column,
        where.end_line,
        where.end_column,
    )


def code_table(codes: Iterable[CodeInfo], process: int) -> dict[int, CodeInfo]:
    """The code objects of one process by id."""
    return {code.code: code for code in codes if code.process == process}
