"""Decoding CPython's ``co_linetable`` (3.11 and later) without the interpreter that made it.

A table is a row of entries. The first byte of each is ``1 code:4 length-1:3``, the length in code
units of 2 bytes; the code says what follows. Only the first byte of an entry has its top bit set.
Lines are deltas to the entry before, columns are absolute. CPython defines the format in
``InternalDocs/code_objects.md`` (earlier ``Objects/locations.md``).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from giltrace.capture.events import LASTI_UNKNOWN

# Entry codes. 0 to 9 are the short form: same line, columns in one byte and the code itself.
_ONE_LINE: Final = 10
"""10 to 12: 0 to 2 lines on, then a byte for each column."""
_NO_COLUMNS: Final = 13
_LONG: Final = 14
_NOWHERE: Final = 15

_NONE: Final = -1
_LIMIT: Final = 1 << 31
_MAX_VARINT_BITS: Final = 36

_Place: TypeAlias = tuple[int, int, int]
"""How many lines on it ends, column, end column."""


class Position(NamedTuple):
    """Where an instruction comes from: lines from 1, columns in UTF-8 bytes from 0.

    ``line`` None: no source position at all. Columns None: only lines are known. As in
    ``code.co_positions()`` a line can be 0: the first instruction of a module has it.
    """

    line: int | None
    end_line: int | None
    column: int | None
    end_column: int | None


UNKNOWN: Final = Position(None, None, None, None)


def position(linetable: bytes, firstlineno: int, lasti: int) -> Position:
    """The position of the instruction at ``lasti``, in code units of 2 bytes.

    Never raises. The answer is `UNKNOWN` for `LASTI_UNKNOWN`, beyond the table's end, and from the
    first damaged entry on. Tables are decoded once and kept for later calls.
    """
    return decode(linetable, firstlineno).position(lasti)


@lru_cache(maxsize=1024)
def decode(linetable: bytes, firstlineno: int) -> LineTable:
    """The decoded table of a code object, from a cache if it was asked for lately."""
    return LineTable(linetable, firstlineno)


class LineTable:
    """The decoded table of one code object.

    Only what a 16-bit ``lasti`` can name is decoded, so no table, however hostile, takes more than
    2 MB.

    Attributes:
        units: how many code units the table covers, at most 65535.
    """

    __slots__ = ("_columns", "_starts", "units")

    def __init__(self, linetable: bytes, firstlineno: int) -> None:
        self.units = 0
        self._starts = array("H")
        # line, end line, column, end column of each entry; -1 stands for None.
        self._columns = (array("i"), array("i"), array("i"), array("i"))
        self._decode(_Cursor(linetable), firstlineno)

    def position(self, lasti: int) -> Position:
        """The position of the instruction at ``lasti`` (code units), or `UNKNOWN`."""
        if not 0 <= lasti < self.units:
            return UNKNOWN
        entry = bisect_right(self._starts, lasti) - 1
        return Position(*(_or_none(column[entry]) for column in self._columns))

    def _decode(self, cursor: _Cursor, line: int) -> None:
        while self.units < LASTI_UNKNOWN and not cursor.at_end():
            try:
                units, delta, place = _entry(cursor)
            except ValueError:
                return
            # Deltas go on across entries that have no line, and through lines that make no sense.
            line += delta
            self._append(units, line, place)

    def _append(self, units: int, line: int, place: _Place | None) -> None:
        row = (_NONE, _NONE, _NONE, _NONE)
        if place is not None:
            lines, column, end_column = place
            if line >= 0 and max(line + lines, column, end_column) < _LIMIT:
                row = (line, line + lines, column, end_column)
        for values, value in zip(self._columns, row, strict=True):
            values.append(value)
        self._starts.append(self.units)
        self.units = min(self.units + units, LASTI_UNKNOWN)


def _or_none(value: int) -> int | None:
    return None if value == _NONE else value


def _entry(cursor: _Cursor) -> tuple[int, int, _Place | None]:
    """The next entry: its length in code units, its line delta, and the rest of its place.

    Raises:
        ValueError: the entry is cut off or not well-formed.
    """
    code, units = cursor.first_byte()
    if code == _NOWHERE:
        return units, 0, None
    if code == _LONG:
        delta = cursor.signed_varint()
        return units, delta, (cursor.varint(), cursor.varint() - 1, cursor.varint() - 1)
    if code == _NO_COLUMNS:
        return units, cursor.signed_varint(), (0, _NONE, _NONE)
    if code >= _ONE_LINE:
        return units, code - _ONE_LINE, (0, cursor.byte(), cursor.byte())
    columns = cursor.byte()
    column = code << 3 | columns >> 4
    return units, 0, (0, column, column + (columns & 15))


class _Cursor:
    """Reads a table from its start; what is not there or not allowed raises ValueError."""

    __slots__ = ("_at", "_table")

    def __init__(self, table: bytes) -> None:
        self._table = table
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._table)

    def first_byte(self) -> tuple[int, int]:
        """The code of an entry and its length in code units."""
        value = self._table[self._at]
        if value < 0x80:
            raise ValueError("not the start of an entry")
        self._at += 1
        return value >> 3 & 15, (value & 7) + 1

    def byte(self) -> int:
        if self.at_end():
            raise ValueError("the entry is cut off")
        value = self._table[self._at]
        if value >= 0x80:
            raise ValueError("the next entry starts too early")
        self._at += 1
        return value

    def varint(self) -> int:
        """6 bits in each byte, least significant first; bit 6: another byte follows."""
        value = 0
        for shift in range(0, _MAX_VARINT_BITS, 6):
            byte = self.byte()
            value |= (byte & 0x3F) << shift
            if not byte & 0x40:
                return value
        raise ValueError("a number beyond 32 bits")

    def signed_varint(self) -> int:
        """A varint with the sign in its lowest bit."""
        value = self.varint()
        return -(value >> 1) if value & 1 else value >> 1
