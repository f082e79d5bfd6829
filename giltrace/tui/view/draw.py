"""The whole timeline on a canvas: ruler, lanes, labels, cursor, marks and the hand-off's arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.cells import cell_len

from giltrace.analysis.timeline.state import State
from giltrace.model.tables import I8
from giltrace.tui.source import Interval, Lane, Source
from giltrace.tui.view import paint
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.ink import ACCENT, FAINT, PLAIN, SELECTED, TINT, thread_ink
from giltrace.tui.view.rows import Density, Layout, Placed
from giltrace.tui.view.ruler import ticks
from giltrace.tui.view.view import View
from giltrace.wording.human import duration

_GUTTER_LEAST: Final = 10
_GUTTER_MOST: Final = 28
_AROUND_NAME: Final = 4
_MARKS: Final = "AB"
_LABEL_LEAST: Final = 5
"""Cells that an interval needs for a label."""
_CROWDED: Final = 3
"""With fewer cells than this for each interval, on average, none is looked at alone."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything is.

    Attributes:
        width: cells of the whole.
        height: rows of the whole; the ruler is the first.
        gutter: cells for the names of lanes.
        density: how high lanes are.
        placed: which lane is where; rows are counted from below the ruler.
        groups: how many groups there are.
    """

    width: int
    height: int
    gutter: int
    density: Density
    placed: tuple[Placed, ...]

    @classmethod
    def of(cls, width: int, height: int, layout: Layout, placed: Sequence[Placed]) -> Scene:
        """The scene of some lanes."""
        gutter = gutter_of(layout.lanes, width)
        return cls(width, height, gutter, layout.density, tuple(placed))

    @property
    def plot_width(self) -> int:
        """Cells for the lanes themselves."""
        return max(1, self.width - self.gutter)

    def lane_at(self, y: int) -> int | None:
        """The lane in a row of the whole, free rows below it included."""
        for one in self.placed:
            if not one.is_heading and one.y <= y - 1 < one.y + self.density:
                return one.lane
        return None

    def row_of(self, lane: int) -> int | None:
        """The first row of a lane in the whole, if it is visible."""
        for one in self.placed:
            if one.lane == lane and not one.is_heading:
                return one.y + 1
        return None


def gutter_of(lanes: Sequence[Lane], width: int) -> int:
    """Cells for the names of lanes, of a width in all."""
    longest = max((cell_len(lane.label) + _noted(lane) for lane in lanes), default=0)
    most = min(_GUTTER_MOST, max(_GUTTER_LEAST, width // 5))
    return min(max(longest + _AROUND_NAME, _GUTTER_LEAST), most)


def _noted(lane: Lane) -> int:
    """Cells that a note takes, the free one before it included."""
    return len(lane.note) + 1 if lane.note else 0


def draw(source: Source, view: View, scene: Scene, *, colours: bool) -> Canvas:
    """All of it.

    Args:
        source: what is shown.
        view: where one is in it.
        scene: where everything is.
        colours: use them, or characters instead.
    """
    return _Drawing(source, view, scene, colours=colours).canvas


class _Drawing:
    """One picture in the making."""

    def __init__(self, source: Source, view: View, scene: Scene, *, colours: bool) -> None:
        self.canvas = Canvas(scene.width, scene.height)
        self._source, self._view, self._scene, self._colours = source, view, scene, colours
        self._edges = view.viewport.edges(scene.plot_width)
        self._ns = np.diff(self._edges)
        self._lanes()
        self._ruler()
        self._vertical(view.cursor, "│", FAINT)
        for letter, mark in zip(_MARKS, view.marks, strict=False):
            self._vertical(mark, "┊", ACCENT)
            self._flag(mark, letter)
        if view.selected is not None:
            self._selection(view.selected)

    # ------------------------------------------------------------ rows

    def _ruler(self) -> None:
        scene, viewport = self._scene, self._view.viewport
        self.canvas.text(0, 0, f" {duration(viewport.span)}", ink=FAINT, width=scene.gutter)
        for tick in ticks(viewport, scene.plot_width):
            self.canvas.text(scene.gutter + tick.column, 0, f"╷{tick.label}", ink=FAINT)
        column = self._column(self._view.cursor)
        if 0 <= column < scene.plot_width:
            self.canvas.text(scene.gutter + column, 0, "▾", ink=ACCENT)

    def _lanes(self) -> None:
        scene, lanes = self._scene, self._source.lanes
        threads = [one for one in scene.placed if not one.is_heading and not lanes[one.lane].is_gil]
        cells = self._source.cells([one.lane for one in threads], self._edges)
        for one, mine in zip(threads, cells, strict=True):
            picture = paint.thread_lane(mine, self._ns, scene.density.drawn, colours=self._colours)
            self.canvas.put(scene.gutter, one.y + 1, picture)
            self._labels(one, lanes[one.lane])
        for one in scene.placed:
            if one.is_heading:
                self._heading(one)
                continue
            self._name(one, lanes[one.lane])
            if lanes[one.lane].is_gil:
                self._gil(one, lanes)

    def _gil(self, placed: Placed, lanes: Sequence[Lane]) -> None:
        holders = self._source.holders(placed.lane, self._edges)
        colour: I8 = np.array([lanes[one].colour for one in holders.lane.tolist()], np.int64)
        rows = self._scene.density.drawn
        picture = paint.gil_lane(holders, colour, self._ns, rows, colours=self._colours)
        self.canvas.put(self._scene.gutter, placed.y + 1, picture)
        self._labels(placed, lanes[placed.lane])

    def _heading(self, placed: Placed) -> None:
        group = self._source.groups[self._source.lanes[placed.lane].group]
        text = f"{group.label}: {group.note}" if group.note else group.label
        y = placed.y + 1
        self.canvas.text(0, y, "─" * self._scene.width, ink=FAINT)
        self.canvas.text(1, y, f" {text} ", bold=True)

    def _name(self, placed: Placed, lane: Lane) -> None:
        y, width = placed.y + 1, self._scene.gutter - 1
        is_here = placed.lane == self._view.lane
        ink = PLAIN if lane.is_gil else thread_ink(lane.colour)
        for row in range(self._scene.density.drawn):
            self.canvas.text(0, y + row, "▌" if is_here else " ", ink=ACCENT)
        mark = " " if lane.is_gil else "■"
        if not self._colours and not lane.is_gil:
            mark = paint.LETTERS[lane.colour % len(paint.LETTERS)]
        self.canvas.text(1, y, mark, ink=ink)
        room = width - 3 - _noted(lane)
        self.canvas.text(3, y, lane.label, ink=PLAIN, bold=is_here or lane.is_gil, width=room)
        self.canvas.text(width - len(lane.note), y, lane.note, ink=ACCENT)

    # ------------------------------------------------------------ what is in the lanes

    def _labels(self, placed: Placed, lane: Lane) -> None:
        viewport, width = self._view.viewport, self._scene.plot_width
        few = self._source.between(lane.index, viewport.start, viewport.end, width // _CROWDED)
        for one in few or ():
            first, last = self._full_cells(one)
            if last - first < _LABEL_LEAST:
                continue
            text = self._source.lanes[one.lane].label if lane.is_gil else self._source.text(one)
            solid = lane.is_gil or one.state >= State.HOLDING
            ink = PLAIN if solid or not self._colours else int(one.state)
            paper = self._paper(one, lane)
            self._label(placed, (first, last), text, one.ns, ink=ink, paper=paper)

    def _label(
        self, placed: Placed, cells: tuple[int, int], text: str, ns: int, *, ink: int, paper: int
    ) -> None:
        x, room = self._scene.gutter + cells[0] + 1, cells[1] - cells[0] - 1
        length = duration(ns)
        lines = [text]
        if self._scene.density.drawn > 1:
            lines.append(length)
        elif cell_len(text) + len(length) + 2 <= room:
            lines[0] += f"  {length}"
        for row, line in enumerate(lines):
            # Without colours it stands among characters: leave some air.
            aired = line if self._colours else f" {line} "
            self.canvas.text(x, placed.y + 1 + row, aired, ink=ink, paper=paper, width=room)

    def _paper(self, interval: Interval, lane: Lane) -> int:
        if not self._colours:
            return PLAIN
        if lane.is_gil:
            return thread_ink(self._source.lanes[interval.lane].colour)
        solid = interval.state >= State.HOLDING
        return int(interval.state) if solid else TINT + interval.state

    def _full_cells(self, interval: Interval) -> tuple[int, int]:
        """The first cell that an interval fills, and the first after it that it does not."""
        edges = self._edges
        first = int(np.searchsorted(edges, interval.start))
        last = int(np.searchsorted(edges, interval.end, side="right")) - 1
        return first, max(first, last)

    # ------------------------------------------------------------ on top of the lanes

    def _selection(self, one: Interval) -> None:
        self._arrow(one)
        y = self._scene.row_of(one.lane)
        first, last = self._column(one.start), self._column(max(one.start, one.end - 1)) + 1
        first, last = max(first, 0), min(last, self._scene.plot_width)
        if y is None or first >= last:
            return
        x = self._scene.gutter + first
        room, ink = last - first, int(one.state)
        self.canvas.recolour(x, y, room, ink=ink, paper=SELECTED)
        if room < _LABEL_LEAST:
            self.canvas.text(x, y, "◆" * room, ink=ink, paper=SELECTED)
        else:
            text = f" {self._source.text(one)}  {duration(one.ns)} "
            self.canvas.text(x, y, text.ljust(room), ink=ink, paper=SELECTED, bold=True, width=room)

    def _arrow(self, one: Interval) -> None:
        """From where the GIL was let go to where it was taken."""
        other = self._source.follow(one)
        if other is None or other.lane == one.lane:
            return
        is_giver = one.state is not State.WAITING
        giver, taker = (one, other) if is_giver else (other, one)
        ts = taker.start if is_giver else taker.end
        column = self._column(ts)
        if not 0 <= column < self._scene.plot_width:
            return
        x = self._scene.gutter + column
        above = self._scene.row_of(giver.lane)
        below = self._scene.row_of(taker.lane)
        bottom = self._scene.height
        down = giver.lane < taker.lane
        start = above if above is not None else (1 if down else bottom)
        end = below if below is not None else (bottom if down else 1)
        tall = self._scene.density.drawn - 1
        rows = range(start + tall + 1, end) if down else range(end + tall + 1, start)
        for y in rows:
            self.canvas.text(x, y, "│", ink=ACCENT)
        if len(rows):
            self.canvas.text(x, rows[-1] if down else rows[0], "▼" if down else "▲", ink=ACCENT)

    def _vertical(self, ts: int, char: str, ink: int) -> None:
        column = self._column(ts)
        if 0 <= column < self._scene.plot_width:
            self.canvas.behind(self._scene.gutter + column, 1, char, ink=ink)

    def _flag(self, ts: int, letter: str) -> None:
        column = self._column(ts)
        if 0 <= column < self._scene.plot_width:
            self.canvas.text(self._scene.gutter + column, 0, letter, ink=ACCENT, bold=True)

    def _column(self, ts: int) -> int:
        return self._view.viewport.column(ts, self._scene.plot_width)
