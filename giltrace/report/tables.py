"""Tables that stay readable on a narrow terminal: they lose columns before they lose digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import rich.table
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.text import Text

_GAP: Final = 2
_TEXT_FLOOR: Final = 24
"""A column of text may be wrapped down to this width before a column has to go."""
_TEXT_LEAST: Final = 12
"""And down to this one when no column is left that could go."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        head: its heading.
        cells: one string a row, safe to show; line feeds start a new line in the cell.
        rank: columns with higher ranks go first when space is short; those with 0 stay.
        text: text to the left, which may be wrapped, instead of a number to the right.
        style: how rich shows the cells.
    """

    head: str
    cells: list[str] = field(default_factory=list)
    rank: int = 0
    text: bool = False
    style: str = ""

    def least(self, floor: int = _TEXT_FLOOR) -> int:
        """The cells it cannot do without; text may be wrapped down to ``floor`` cells."""
        lines = [self.head, *(line for cell in self.cells for line in cell.split("\n"))]
        natural = max(map(cell_len, lines))
        return min(natural, floor) if self.text else natural


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not yet fitted to a width.

    Attributes:
        title: above it.
        columns: all of one length, at least one of rank 0.
        caption: below it, or ``""``.
    """

    title: str
    columns: Sequence[Column]
    caption: str = ""

    @property
    def rows(self) -> list[list[tuple[Column, str]]]:
        """Each row: its cells, each with its column."""
        cells = zip(*(column.cells for column in self.columns), strict=True)
        return [list(zip(self.columns, row, strict=True)) for row in cells]

    @property
    def least(self) -> int:
        """The cells that its rank 0 columns take at the very least."""
        return _width([column for column in self.columns if not column.rank], _TEXT_LEAST)

    def fit(self, width: int | None) -> rich.table.Table:
        """What rich shows in ``width`` cells; None is as wide as it needs."""
        shown, dropped = fitting(self.columns, width)
        notes = [self.caption] if self.caption else []
        if dropped:
            notes.append(f"no room for: {', '.join(column.head for column in dropped)}")
        made = rich.table.Table(
            title=Text(self.title, "bold"),
            caption=Text("\n".join(notes), "dim") if notes else None,
            title_justify="left",
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        for column in shown:
            made.add_column(
                Text(column.head),
                justify="left" if column.text else "right",
                no_wrap=not column.text,
                overflow="fold",
                min_width=column.least(_TEXT_LEAST),
                style=column.style,
            )
        for row in zip(*(column.cells for column in shown), strict=True):
            made.add_row(*map(Text, row))
        return made


def fitting(columns: Sequence[Column], width: int | None) -> tuple[list[Column], list[Column]]:
    """The columns to show in ``width`` cells, in their order, and those for which there is no room.

    Columns of rank 0 are always shown.
    """
    shown = list(columns)
    dropped: list[Column] = []
    while width is not None and _width(shown, _TEXT_FLOOR) > width:
        last = max(shown, key=lambda column: column.rank)
        if last.rank == 0:
            break
        shown.remove(last)
        dropped.append(last)
    return shown, dropped


def _width(columns: Sequence[Column], floor: int) -> int:
    return sum(column.least(floor) for column in columns) + _GAP * (len(columns) - 1)
