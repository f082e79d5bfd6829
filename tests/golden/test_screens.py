"""What the timeline and the inspector show, whole, against the files kept beside this module.

They are drawn without textual, so that its releases do not change them. After an intended change:
``GILTRACE_UPDATE_GOLDEN=1 python -m pytest tests/golden``, and read the difference before
committing it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from giltrace.model import Trace
from giltrace.tui.source import Jump
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.draw import Scene, draw
from giltrace.tui.view.ink import PLAIN, SELECTED, THREAD, TINT
from giltrace.tui.view.rows import Layout
from giltrace.tui.view.view import View
from tests.support import stories
from tests.support.timeline import timeline

pytest.importorskip("textual")

HERE: Final = Path(__file__).parent / "screens"

CALLS: Final = """
    server: hold 0-1ms at server.py:10:4-20 in serve call=_socket.socket.recv fd=7
    server: wait 4-9ms request@9ms hold 9-10ms at server.py:11 in serve call call=time.sleep
    server: hold 14-15ms at server.py:12 in serve call call=_thread.lock.acquire
    server: wait 17-19ms hold 19-20ms at server.py:13 in serve
    worker: hold 1.2-9ms at work.py:5 in crunch check
    worker: wait 9-10ms hold 10-13.5ms at work.py:6 in crunch call call=zlib.compress
    worker: hold 16-19ms at work.py:5 in crunch
    late:   wait 18ms-
"""
"""One of every kind of interval."""


def compare(file: str, text: str) -> None:
    """Text must be that of the file, which is rewritten on request."""
    path = HERE / file
    if os.environ.get("GILTRACE_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def picture(trace: Trace, size: tuple[int, int], view: View | None = None, **how: bool) -> str:
    """The timeline of a trace, and below it, letter by letter, the colours."""
    source = TraceSource(trace)
    width, height = size
    layout = Layout.fitting(source.lanes, len(source.groups), height - 1)
    scene = Scene.of(width, height, layout, layout.placed(0))
    colours = how.get("colours", False)
    canvas = draw(source, view or View.of(source), scene, colours=colours)
    text = "\n".join("".join(run.text for run in canvas.runs(y)).rstrip() for y in range(height))
    return f"{text}\n\n{inks(canvas)}" if colours else f"{text}\n"


def inks(canvas: Canvas) -> str:
    """Two letters a cell: ink and paper. States are digits, their tints letters of a to j."""
    rows = []
    for y in range(canvas.height):
        row = ""
        for run in canvas.runs(y):
            row += (_letter(run.ink) + _letter(run.paper)) * len(run.text)
        rows.append(row.rstrip())
    return "\n".join(rows) + "\n"


def _letter(ink: int) -> str:
    if ink == PLAIN:
        return " "
    if ink < TINT:
        return str(ink)
    if ink < THREAD:
        return "abcdefghij"[ink - TINT]
    return "ABCDEFGH"[ink - THREAD] if ink < SELECTED else "*.+"[ink - SELECTED]


def test_a_convoy() -> None:
    """All of it, without colours."""
    compare("convoy.txt", picture(timeline(stories.convoy(6)), (100, 10)))


def test_a_convoy_in_colour() -> None:
    """The same with what is painted in which ink."""
    compare("convoy-inks.txt", picture(timeline(stories.convoy(2)), (60, 10), colours=True))


def test_a_selected_wait() -> None:
    """It stands out, and the hand-off's arrow points to its end."""
    trace = timeline(stories.convoy(6))
    source = TraceSource(trace)
    view = View.of(source).in_lane(1).jumped(source, Jump.LONGEST, back=False)
    assert view is not None
    compare("selected.txt", picture(trace, (80, 10), view.marked().zoomed(2.0), colours=True))


def test_every_state() -> None:
    """Each state has a character of its own."""
    compare("states.txt", picture(timeline(CALLS), (120, 14)))


def test_processes() -> None:
    """Each process, and each of its GILs, is a group."""
    compare("processes.txt", picture(timeline(stories.TWO_PROCESSES), (60, 16)))


def test_lost_events() -> None:
    """Where events were lost nothing is drawn."""
    compare("lost.txt", picture(timeline(stories.LOST), (60, 6)))


def test_details() -> None:
    """All there is to say about each interval."""
    source = TraceSource(timeline(CALLS))
    compare("details.txt", "\n".join(_details(source)))


def _details(source: TraceSource) -> Iterator[str]:
    for lane in source.lanes:
        if lane.is_gil:
            continue
        for one in source.between(lane.index, 0, source.end_ns, 100) or ():
            details = source.describe(one)
            yield details.title
            yield from (f"  {label}: {text}" for label, text in details.facts)
            for part in details.parts:
                where = f" at {part.where}" if part.where else ""
                yield f"  {details.parts_title} {part.label}{where}: {part.ns:,} ns, {part.share}"
            yield ""
