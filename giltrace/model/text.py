"""Making text that comes from a target safe to show.

Thread names, file names and qualified names are chosen by the program under test, so they may hold
escape sequences, bidirectional overrides, bytes that were not UTF-8, or ten thousand characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LIMIT: Final = 80
ELLIPSIS: Final = "…"


def printable(text: str, limit: int = LIMIT) -> str:
    r"""``text`` as one line of at most ``limit`` characters that do nothing but show themselves.

    What `str.isprintable` rejects is written as a Python escape: control characters, bidirectional
    and other invisible format characters, line separators. A byte that was not UTF-8 (a lone
    surrogate of the surrogateescape handler) becomes ``\xNN`` again. Over-long text loses its
    middle, because a path and a qualified name tell most at their ends.
    """
    if len(text) <= limit and text.isprintable():
        return text
    head_limit = limit * 2 // 3
    tail_limit = limit - head_limit - len(ELLIPSIS)
    # An escape is never shorter than its character, so `limit` characters of either end will do.
    pieces = [_escape(char) for char in text[: limit + 1]]
    if len(text) <= limit and sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    tail = _fill((_escape(char) for char in reversed(text[-limit:])), tail_limit)
    return "".join(_fill(iter(pieces), head_limit)) + ELLIPSIS + "".join(reversed(tail))


def _fill(pieces: Iterator[str], room: int) -> list[str]:
    """The first of ``pieces`` that fit in ``room`` characters together."""
    taken: list[str] = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        taken.append(piece)
    return taken


def _escape(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
