"""The report for a terminal: what is the matter in words, then the tables behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

import rich.table
from rich.console import Console, RenderableType
from rich.text import Text

from giltrace.model import Trace
from giltrace.report import sections
from giltrace.wording.opening import notes, scene
from giltrace.wording.remedies import outlooks
from giltrace.wording.results import Results
from giltrace.wording.stories import Story, chief_stories

_READABLE: Final = 100
"""Prose in longer lines is hard to read, however wide the terminal is."""
_NARROW: Final = 60
"""Below this width headings stand above their text instead of beside it."""
_UNLIMITED: Final = 10_000
_UNIT: Final = re.compile(r"(\d) (ns|µs|ms|s|min|h|%)(?!\w)")
_GLUE: Final = "\ue000"
"""Keeps a number and its unit on one line; private characters do not occur in printable text."""


def render(
    trace: Trace,
    *,
    top: int = 10,
    width: int | None = None,
    colour: bool = False,
    think_ns: int | None = None,
) -> str:
    """The whole report as text.

    Args:
        trace: what to report.
        top: rows of each table.
        width: cells a line; None lets tables be as wide as they need.
        colour: use the escape sequences of a terminal.
        think_ns: how long the outside world takes to answer, if that is known.
    """
    results = Results(trace, think_ns=think_ns)
    console, out = _console(colour)
    _words(console, results, _prose_width(width))
    for table in sections.all_of(results, top):
        console.print()
        # A table that cannot get narrower is left to the terminal to wrap.
        console.print(table.fit(width), width=max(width or _UNLIMITED, table.least))
    return _finished(out.getvalue(), colour)


def _words(console: Console, results: Results, width: int) -> None:
    """What was recorded, each finding, and what would help."""
    said = " ".join((*notes(results.trace), *scene(results)))
    console.print(_prose(said), width=width)
    chief, others = chief_stories(results)
    for story in chief:
        console.print()
        console.print(_prose(story.title, "bold"), width=width)
        for block in _story(story, width):
            console.print(block, width=width)
    for story in others:
        console.print()
        console.print(_prose(f"Also: {story.title} {story.todo}".rstrip()), width=width)
    for outlook in outlooks(results):
        table = sections.outlook(outlook)
        console.print()
        console.print(table.fit(width), width=max(width, table.least))
        console.print(_prose(" ".join(outlook.notes), "dim"), width=width)


def _story(story: Story, width: int) -> Iterator[RenderableType]:
    if width < _NARROW:
        for head, text in story.parts:
            yield Text.assemble((f"{head}: ", "bold"), _prose(text))
        return
    grid = rich.table.Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for head, text in story.parts:
        grid.add_row(head, _prose(text))
    yield grid


def _prose(text: str, style: str = "") -> Text:
    """Text in which numbers stay with their units and names are set off."""
    prose = Text(_UNIT.sub(rf"\1{_GLUE}\2", text), style)
    prose.highlight_regex(r"`[^`]*`", "bold")
    return prose


def _console(colour: bool) -> tuple[Console, StringIO]:
    """A console that interprets nothing in the texts it gets, and where it writes to."""
    out = StringIO()
    console = Console(
        file=out,
        width=_UNLIMITED,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    return console, out


def _prose_width(width: int | None) -> int:
    return min(width or _READABLE, _READABLE)


def _finished(text: str, colour: bool) -> str:
    text = text.replace(_GLUE, " ")
    return text if colour else re.sub(r" +$", "", text, flags=re.MULTILINE)
