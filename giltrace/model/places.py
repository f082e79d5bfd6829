"""Positions in source: from (code, lasti) pairs, each resolved once, to `Place` objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from giltrace.capture.events import CODE_UNKNOWN, FIELD_MASK, LASTI_SHIFT
from giltrace.capture.linetable import position
from giltrace.capture.records import CodeInfo
from giltrace.model.dense import TABLE_LIMIT, pieces
from giltrace.model.tables import I4, I8, U2, U4, UNKNOWN_PLACE, Place


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

    def resolve(self, words: U4, codes: Mapping[int, CodeInfo]) -> I4:
        """int32 [n]: the numbers of places, given as frame words.

        Args:
            words: uint32 [n], ``code:16 lasti:16``.
            codes: the code objects of the process by id.
        """
        among, index = frame_words(words)
        found = np.array([self.number(place_of(word, codes)) for word in among.tolist()], np.int32)
        for some in pieces(len(index)):
            index[some] = found.take(index[some])
        return index


def frame_words(words: U4) -> tuple[I8, I4]:
    """The distinct frame words, by code and then by instruction, and the place of each among them.

    A process uses few code objects, and of each few instructions: numbering both makes the keys
    small enough for a table instead of a sort.

    Returns:
        int64, and int32 [n].
    """
    seen = np.zeros((2, 1 << 16), np.bool_)
    for some in pieces(len(words)):
        code, lasti = _halves(words[some])
        seen[0, code] = seen[1, lasti] = True
    codes, lastis = np.flatnonzero(seen[0]), np.flatnonzero(seen[1])
    if len(codes) * len(lastis) > TABLE_LIMIT:
        by_code = words << np.uint32(16) | words >> np.uint32(16)
        turned, place = np.unique(by_code, return_inverse=True)
        among = turned.astype(np.int64)
        return among >> 16 | (among & FIELD_MASK) << LASTI_SHIFT, place.astype(np.int32)
    ranks = np.zeros((2, 1 << 16), np.int64)
    ranks[0, codes] = np.arange(len(codes)) * len(lastis)
    ranks[1, lastis] = np.arange(len(lastis))
    occurs = np.zeros(len(codes) * len(lastis), np.bool_)
    index: I4 = np.empty(len(words), np.int32)
    for some in pieces(len(words)):
        code, lasti = _halves(words[some])
        index[some] = ranks[0].take(code) + ranks[1].take(lasti)
        occurs[index[some]] = True
    keys = np.flatnonzero(occurs)
    number = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    for some in pieces(len(index)):
        index[some] = number.take(index[some])
    width = max(1, len(lastis))
    among = codes[keys // width] | lastis[keys % width] << LASTI_SHIFT
    return among.astype(np.int64), index


def _halves(words: U4) -> tuple[U2, U2]:
    """uint16, uint16: the codes and instructions of frame words."""
    return words.astype(np.uint16), (words >> np.uint32(LASTI_SHIFT)).astype(np.uint16)


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
