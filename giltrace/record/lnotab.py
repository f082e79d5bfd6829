"""Line tables of other interpreters, turned into the one that a capture holds."""

from __future__ import annotations

from collections.abc import Iterator

from giltrace.capture.events import LASTI_UNKNOWN

_NO_COLUMNS = 0x80 | 13 << 3
_ENTRY_UNITS = 8
_UNIT = 2


def linetable(lnotab: bytes, covers: int) -> bytes:
    """The ``co_linetable`` of CPython 3.11 that says the same as a ``co_lnotab``.

    Args:
        lnotab: pairs of bytes: by how much the address grows, then by how much the line does
            (signed), as until CPython 3.10 and in PyPy.
        covers: bytes of code.
    """
    table = bytearray()
    told = 0
    for units, line in _stretches(lnotab, min(covers, LASTI_UNKNOWN * _UNIT)):
        delta, told = line - told, line
        for start in range(0, units, _ENTRY_UNITS):
            length = min(_ENTRY_UNITS, units - start)
            table.append(_NO_COLUMNS | (length - 1))
            table += _signed_varint(delta)
            delta = 0
    return bytes(table)


def _stretches(lnotab: bytes, covers: int) -> Iterator[tuple[int, int]]:
    """Stretches of code as (units, line), with lines counted from the function's first."""
    start = at = line = 0
    for address, lines in zip(lnotab[::2], lnotab[1::2], strict=False):
        at += address
        if at // _UNIT > start // _UNIT and lines:
            end = min(at, covers)
            yield (end - start) // _UNIT, line
            start = end
        line += lines - 0x100 if lines >= 0x80 else lines
    if covers > start:
        yield (covers - start) // _UNIT, line


def _signed_varint(value: int) -> bytes:
    rest = -value << 1 | 1 if value < 0 else value << 1
    out = bytearray()
    while rest >= 0x40:
        out.append(0x40 | rest & 0x3F)
        rest >>= 6
    out.append(rest)
    return bytes(out)
