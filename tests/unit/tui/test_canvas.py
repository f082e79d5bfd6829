"""Text on rows of cells: whatever it is, every row stays as wide as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from giltrace.model.text import printable
from giltrace.tui.view.canvas import Canvas, fitted
from giltrace.tui.view.ink import ACCENT, PLAIN
from tests.support.hostile import NAMES


def row(canvas: Canvas, y: int = 0) -> str:
    """What is written in a row."""
    return "".join(run.text for run in canvas.runs(y))


def test_runs_are_of_one_colour() -> None:
    """Neighbours that look alike are one run."""
    canvas = Canvas(10, 1)
    canvas.text(2, 0, "abc", ink=ACCENT)
    assert [(run.text, run.ink) for run in canvas.runs(0)] == [
        ("  ", PLAIN),
        ("abc", ACCENT),
        ("     ", PLAIN),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1, 2, 5, 30])
def test_hostile_names_keep_the_width(name: str, width: int) -> None:
    """No name makes a row longer or shorter."""
    canvas = Canvas(40, 1)
    taken = canvas.text(3, 0, printable(name), width=width)
    assert taken <= width
    assert cell_len(row(canvas)) == 40


@given(st.lists(st.tuples(st.text(max_size=60), st.integers(0, 45), st.integers(-1, 2))))
def test_any_text_keeps_the_width(texts: list[tuple[str, int, int]]) -> None:
    """Wide, combining and unheard-of characters, across each other and the canvas's edges."""
    canvas = Canvas(40, 2)
    for text, x, y in texts:
        canvas.text(x, y, printable(text))
        canvas.text(x + 5, y, "│", ink=ACCENT)
    assert [cell_len(row(canvas, line)) for line in (0, 1)] == [40, 40]


def test_cut_text_says_so() -> None:
    """What does not fit ends in an ellipsis; a wide character is not cut in half."""
    assert fitted("spinning", 5) == "spin…"
    assert fitted("日本語", 4) == "日…"
    assert fitted("anything", 0) == ""
