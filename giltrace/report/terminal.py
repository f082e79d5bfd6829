"""The report for a terminal: what is the matter in words, then the tables behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import rich.table
from rich.console import Console, RenderableType
from rich.text import Text

from giltrace.model import Trace
from giltrace.report import sections
from giltrace.report.prose import UNLIMITED, console, finished, prose, prose_width
from giltrace.wording.opening import notes, scene
from giltrace.wording.remedies import outlooks
from giltrace.wording.results import Results
from giltrace.wording.stories import Story, chief_stories

_NARROW: Final = 60
"""Below this width headings stand above their text instead of beside it."""


def render(
    trace: Trace,
    *,
    top: int = 10,
    width: int | None = None,
    colour: bool = False,
    think_ns: int | None = None,
    tables: bool = True,
) -> str:
    """The report as text.

    Args:
        trace: what to report.
        top: rows of each table.
        width: cells a line; None lets tables be as wide as they need.
        colour: use the escape sequences of a terminal.
        think_ns: how long the outside world takes to answer, if that is known.
        tables: with the numbers behind the words.
    """
    results = Results(trace, think_ns=think_ns)
    out, written = console(colour)
    _words(out, results, prose_width(width))
    for table in sections.all_of(results, top) if tables else ():
        out.print()
        # A table that cannot get narrower is left to the terminal to wrap.
        out.print(table.fit(width), width=max(width or UNLIMITED, table.least))
    return finished(written.getvalue(), colour)


def _words(out: Console, results: Results, width: int) -> None:
    """What was recorded, each finding, and what would help."""
    said = " ".join((*notes(results.trace), *scene(results)))
    out.print(prose(said), width=width)
    chief, others = chief_stories(results)
    for story in chief:
        out.print()
        out.print(prose(story.title, "bold"), width=width)
        for block in _story(story, width):
            out.print(block, width=width)
    for story in others:
        out.print()
        out.print(prose(f"Also: {story.title} {story.todo}".rstrip()), width=width)
    for outlook in outlooks(results):
        table = sections.outlook(outlook)
        out.print()
        out.print(table.fit(width), width=max(width, table.least))
        out.print(prose(" ".join(outlook.notes), "dim"), width=width)


def _story(story: Story, width: int) -> Iterator[RenderableType]:
    if width < _NARROW:
        for head, text in story.parts:
            yield Text.assemble((f"{head}: ", "bold"), prose(text))
        return
    grid = rich.table.Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for head, text in story.parts:
        grid.add_row(head, prose(text))
    yield grid
