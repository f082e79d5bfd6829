"""Text on a terminal: lines that can be read, numbers that stay with their units."""

from __future__ import annotations

import re
from io import StringIO
from typing import Final

from rich.console import Console
from rich.text import Text

UNLIMITED: Final = 10_000
_READABLE: Final = 100
"""Prose in longer lines is hard to read, however wide the terminal is."""
_UNIT: Final = re.compile(r"(\d) (ns|µs|ms|s|min|h|%)(?!\w)")
_GLUE: Final = "\ue000"
"""Keeps a number and its unit on one line; private characters do not occur in printable text."""


def prose(text: str, style: str = "") -> Text:
    """Text in which numbers stay with their units and names are set off."""
    made = Text(_UNIT.sub(rf"\1{_GLUE}\2", text), style)
    made.highlight_regex(r"`[^`]*`", "bold")
    return made


def prose_width(width: int | None) -> int:
    """The width of lines of prose where lines may be so wide."""
    return min(width or _READABLE, _READABLE)


def console(colour: bool) -> tuple[Console, StringIO]:
    """A console that interprets nothing in the texts it gets, and where it writes to."""
    out = StringIO()
    made = Console(
        file=out,
        width=UNLIMITED,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    return made, out


def finished(text: str, colour: bool) -> str:
    """What was written to a `console`, as it goes out."""
    text = text.replace(_GLUE, " ")
    return text if colour else re.sub(r" +$", "", text, flags=re.MULTILINE)
