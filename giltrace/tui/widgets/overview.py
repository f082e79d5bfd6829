"""All of the recording in two rows, with the visible part marked in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from textual import events, work
from textual.message import Message

from giltrace.analysis.timeline.state import STATES, State
from giltrace.model.tables import I8
from giltrace.tui.background import in_background
from giltrace.tui.palette import Palette
from giltrace.tui.source import Source
from giltrace.tui.view import paint
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.draw import gutter_of
from giltrace.tui.view.ink import ACCENT, FAINT, TINT
from giltrace.tui.view.viewport import Viewport
from giltrace.tui.widgets.painted import Painted

_LANES: Final = 64


@dataclass(frozen=True, eq=False, slots=True)
class Totals:
    """Of all GILs together, cell by cell.

    Attributes:
        edges: int64 [cells + 1].
        held_ns: int64 [cells], how long GILs were held.
        waiting_ns: int64 [cells], how long threads waited; with several waiters more than a cell.
        states: which states there are at all.
        gils: how many GILs there are.
    """

    edges: I8
    held_ns: I8
    waiting_ns: I8
    states: frozenset[State]
    gils: int


class Overview(Painted):
    """Waiting threads above, the held GIL below. A click moves the timeline there."""

    DEFAULT_CSS = "Overview { height: 2; }"

    @dataclass
    class Pointed(Message):
        """A time was pointed at."""

        ts: int

    @dataclass
    class Counted(Message):
        """The totals are known."""

        totals: Totals

    def __init__(self, source: Source, palette: Palette) -> None:
        super().__init__(palette)
        self.source = source
        self._viewport: Viewport | None = None
        self._totals: Totals | None = None
        self._pressed = False

    def show(self, viewport: Viewport) -> None:
        """Mark another part, and look at the recording again if it has grown."""
        self._viewport = viewport
        if self._totals is None or int(self._totals.edges[-1]) != viewport.high:
            self._count()
        self.redraw()

    def on_resize(self) -> None:
        """Other cells have other totals."""
        self._count()

    @property
    def _gutter(self) -> int:
        """As wide as the timeline's, so that times are below each other."""
        return gutter_of(self.source.lanes, self.size.width)

    def _count(self) -> None:
        width = self.size.width - self._gutter
        if width > 0:
            self._count_in(width)

    @work(exclusive=True, group="overview")
    async def _count_in(self, width: int) -> None:
        """With a thousand threads this takes a moment: the screen does not wait for it."""
        totals = await in_background(partial(count, self.source, width))
        self.post_message(self.Counted(totals))

    def on_overview_counted(self, message: Counted) -> None:
        """Show them."""
        self._totals = message.totals
        self.redraw()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw both rows, the visible part on another ground."""
        canvas, gutter = Canvas(width, height), self._gutter
        for row, name in enumerate(("waiting", "held")[:height]):
            canvas.text(1, row, name, ink=FAINT)
        totals = self._totals
        if totals is None or len(totals.held_ns) != width - gutter:
            return canvas
        ns = np.diff(totals.edges)
        most = max(1.0, float((totals.waiting_ns / np.maximum(ns, 1)).max(initial=0)))
        waiting = paint.bars(totals.waiting_ns, int(most * int(ns.max())), 1, int(State.WAITING))
        held = paint.bars(
            totals.held_ns, int(ns.max()) * max(1, totals.gils), 1, int(State.HOLDING)
        )
        canvas.put(gutter, 0, waiting)
        canvas.put(gutter, 1, held)
        self._mark_visible(canvas, width - gutter)
        return canvas

    def _mark_visible(self, canvas: Canvas, width: int) -> None:
        viewport, gutter = self._viewport, self._gutter
        if viewport is None or viewport.is_whole:
            return
        whole = Viewport.whole(viewport.low, viewport.high)
        first = min(whole.column(viewport.start, width), width - 1)
        last = max(first + 1, whole.column(viewport.end - 1, width) + 1)
        for row in (0, 1):
            if self.palette.colours:
                canvas.ground(gutter + first, row, last - first, paper=TINT + State.SWITCHING)
            canvas.text(gutter + first - 1, row, "▐", ink=ACCENT)
            canvas.text(gutter + last, row, "▌", ink=ACCENT)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go there."""
        self._pressed = True
        self.capture_mouse()
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Keep going while the button is down."""
        if self._pressed:
            self._point(event.x)

    def on_mouse_up(self) -> None:
        """Stop."""
        self._pressed = False
        self.release_mouse()

    def _point(self, x: int) -> None:
        gutter = self._gutter
        width = self.size.width - gutter
        if self._viewport is not None and width > 0:
            whole = Viewport.whole(self._viewport.low, self._viewport.high)
            column = min(max(x - gutter, 0), width - 1)
            self.post_message(self.Pointed(whole.time(column, width)))


def count(source: Source, width: int) -> Totals:
    """The totals of a whole recording in so many cells."""
    edges = Viewport.whole(source.start_ns, source.end_ns).edges(width)
    held, waiting = np.zeros(width, np.int64), np.zeros(width, np.int64)
    present = np.zeros(STATES, np.bool_)
    threads = [lane.index for lane in source.lanes if not lane.is_gil]
    for first in range(0, len(threads), _LANES):
        cells = source.cells(threads[first : first + _LANES], edges)
        held += cells[:, :, [State.HOLDING, State.HELD_IDLE]].sum(axis=(0, 2))
        waiting += cells[:, :, State.WAITING].sum(axis=0)
        present |= cells.any(axis=(0, 1))
    states = frozenset(state for state in State if present[state])
    return Totals(edges, held, waiting, states, len(source.groups))
