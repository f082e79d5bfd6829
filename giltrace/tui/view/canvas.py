"""Rows of characters with inks, onto which pictures, lines and labels are put."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from rich.cells import cell_len, set_cell_size

from giltrace.model.tables import U4
from giltrace.model.text import ELLIPSIS
from giltrace.tui.view.ink import INKS, PLAIN, SELECTED, THREAD, TINT
from giltrace.tui.view.paint import Picture

_BOLD: Final = INKS * INKS
_VARIATIONS: Final = dict.fromkeys(range(0xFE00, 0xFE10))
"""Terminals do not agree on how wide a character is that one of these follows."""


class Run(NamedTuple):
    """Some characters that look alike."""

    text: str
    ink: int
    paper: int
    bold: bool


class Canvas:
    """A rectangle of cells. What lies outside of it is left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._char = np.full((height, width), ord(" "), np.uint32)
        self._ink = np.full((height, width), PLAIN, np.int64)
        self._paper = np.full((height, width), PLAIN, np.int64)
        self._bold = np.zeros((height, width), np.bool_)
        # Text that is not one cell a character stays in one piece.
        self._pieces: dict[int, dict[int, str]] = {}

    def put(self, x: int, y: int, picture: Picture) -> None:
        """Put a picture's upper left corner at a cell."""
        rows = min(len(picture.char), self.height - y)
        cells = min(picture.char.shape[1], self.width - x)
        here = slice(y, y + rows), slice(x, x + cells)
        part = slice(0, rows), slice(0, cells)
        self._char[here] = picture.char[part]
        self._ink[here] = picture.ink[part]
        self._paper[here] = picture.paper[part]

    def text(
        self,
        x: int,
        y: int,
        text: str,
        *,
        ink: int = PLAIN,
        paper: int | None = None,
        bold: bool = False,
        width: int | None = None,
    ) -> int:
        """Write a line, cut to what fits.

        Args:
            x: its first cell.
            y: its row.
            text: safe to show.
            ink: its colour.
            paper: what is behind it; None leaves what is there.
            bold: emphasise it.
            width: how many cells it may take; None for all there are to the right.

        Returns:
            how many it took.
        """
        room = self.width - x if width is None else min(width, self.width - x)
        if not 0 <= y < self.height or x < 0 or room <= 0:
            return 0
        text = fitted(text, room)
        size = cell_len(text)
        here = slice(x, x + size)
        self._break(y, x, x + size)
        if text.isascii() or all(cell_len(char) == 1 for char in text):
            self._char[y, here] = [ord(char) for char in text]
        else:
            self._char[y, here] = 0
            self._pieces.setdefault(y, {})[x] = text
        self._ink[y, here] = ink
        self._bold[y, here] = bold
        if paper is not None:
            self._paper[y, here] = paper
        return size

    def _break(self, y: int, first: int, last: int) -> None:
        """Blank the pieces of which a part is about to be written over."""
        pieces = self._pieces.get(y, {})
        for x, piece in list(pieces.items()):
            end = x + cell_len(piece)
            if x < last and first < end:
                del pieces[x]
                self._char[y, x:end] = ord(" ")

    def recolour(
        self, x: int, y: int, width: int, *, ink: int | None = None, paper: int | None = None
    ) -> None:
        """Change the colours of cells, not what stands there."""
        if 0 <= y < self.height:
            here = slice(max(x, 0), max(x + width, 0))
            if ink is not None:
                self._ink[y, here] = ink
            if paper is not None:
                self._paper[y, here] = paper

    def ground(self, x: int, y: int, width: int, *, paper: int) -> None:
        """Put something behind cells that have nothing behind them."""
        row = self._paper[y, x : x + width]
        row[row == PLAIN] = paper

    def behind(self, x: int, y: int, char: str, *, ink: int) -> None:
        """A vertical line down from a row, where nothing stands."""
        paper = self._paper[y:, x]
        solid = ((paper > PLAIN) & (paper < TINT)) | ((paper >= THREAD) & (paper < SELECTED))
        free = (self._char[y:, x] == ord(" ")) & ~solid
        self._char[y:, x][free] = ord(char)
        self._ink[y:, x][free] = ink

    def runs(self, y: int) -> Iterator[Run]:
        """One row from left to right."""
        keys = self._ink[y] * INKS + self._paper[y] + self._bold[y] * _BOLD
        starts = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), self.width]
        row = self._char[y]
        pieces = self._pieces.get(y)
        line = row.tobytes().decode("utf-32-le") if pieces is None else ""
        for first, last in itertools.pairwise(starts):
            if first == last:
                continue
            text = line[first:last] if pieces is None else _pieced(row, pieces, first, last)
            key = int(keys[first])
            bold, rest = divmod(key, _BOLD)
            yield Run(text, *divmod(rest, INKS), bool(bold))


def _pieced(row: U4, pieces: dict[int, str], first: int, last: int) -> str:
    found = []
    for x in range(first, last):
        if x in pieces and row[x] == 0:
            found.append(pieces[x])
        elif row[x]:
            found.append(chr(row[x]))
    return "".join(found)


def fitted(text: str, width: int) -> str:
    """A line cut to at most so many cells; ``…`` shows that something is missing."""
    text = text.translate(_VARIATIONS)
    if cell_len(text) <= width:
        return text
    if width < 2:
        return ELLIPSIS[:width]
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS
