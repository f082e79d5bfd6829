"""Tables on terminals of any width."""

from __future__ import annotations

import io

from rich.console import Console

from giltrace.report.tables import Column, Table, fitting


def columns() -> list[Column]:
    """A table 10 + 2 + 8 + 2 + 6 = 28 cells wide."""
    return [
        Column("name", ["a" * 10], text=True),
        Column("total", ["12345678"]),
        Column("waits", ["123456"], rank=1),
    ]


def heads(shown: list[Column]) -> list[str]:
    """The headings of columns."""
    return [column.head for column in shown]


def test_all_columns_fit_exactly() -> None:
    """Not a cell is wasted."""
    shown, dropped = fitting(columns(), 28)
    assert (heads(shown), heads(dropped)) == (["name", "total", "waits"], [])


def test_one_cell_less_costs_the_column_of_highest_rank() -> None:
    """A whole column goes before a digit does."""
    shown, dropped = fitting(columns(), 27)
    assert (heads(shown), heads(dropped)) == (["name", "total"], ["waits"])


def test_columns_of_rank_zero_stay() -> None:
    """On an impossible width the essential columns are still there."""
    shown, dropped = fitting(columns(), 3)
    assert (heads(shown), heads(dropped)) == (["name", "total"], ["waits"])


def test_no_width_is_no_limit() -> None:
    """Output for a file keeps everything."""
    shown, dropped = fitting(columns(), None)
    assert (heads(shown), heads(dropped)) == (["name", "total", "waits"], [])


def test_wide_characters_count_twice() -> None:
    """Widths are those of the terminal, not numbers of characters."""
    assert Column("x", ["日本語"]).least() == 6


def test_markup_is_shown_and_lost_columns_are_named() -> None:
    """Text is never interpreted, and the caption says what is missing."""
    out = io.StringIO()
    made = Table("T", [Column("a", ["[red]x[/]"], text=True), Column("b", ["1"], rank=1)])
    Console(file=out, width=11).print(made.fit(11))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines == ["T", "a", "─────────", "[red]x[/]", "no room", "for: b"]
