"""The timeline: a ruler, and below it the lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive

from giltrace.tui.palette import DARK, Palette
from giltrace.tui.source import Interval, Source
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.draw import Scene, draw
from giltrace.tui.view.rows import Density, Layout
from giltrace.tui.view.view import ZOOM, View
from giltrace.tui.widgets.painted import Painted

_DRAG_STARTS: Final = 1
"""Cells that the mouse has to move before a press becomes a drag."""


class Timeline(Painted, can_focus=True):
    """Shows a `Source`, and where one is in it."""

    DEFAULT_CSS = """
    Timeline { height: 1fr; min-height: 4; }
    """

    view: reactive[View | None] = reactive(None, always_update=False)

    @dataclass
    class Moved(Message):
        """Another place is shown."""

        view: View

    @dataclass
    class Selected(Message):
        """Another interval is selected, or none."""

        interval: Interval | None

    def __init__(self, source: Source, palette: Palette = DARK) -> None:
        super().__init__(palette)
        self.source = source
        self.density: Density | None = None
        self._first = 0
        self._wanted = 0  # the lane that has to be visible
        self._scene: Scene | None = None
        self._drag: tuple[int, View] | None = None
        self.set_reactive(Timeline.view, View.of(source))

    # ------------------------------------------------------------ what is shown

    def show(self, source: Source) -> None:
        """Show another recording, or the same after it has grown."""
        self.source = source
        assert self.view is not None
        self.view = self.view.grown(source)
        self.redraw()

    def watch_view(self, before: View | None, view: View) -> None:
        """Tell everyone."""
        selected = view.selected
        if selected is not None and (before is None or before.selected != selected):
            self._wanted = selected.lane
        elif before is None or before.lane != view.lane:
            self._wanted = view.lane
        self.refresh()
        self.post_message(self.Moved(view))
        if before is None or before.selected != view.selected:
            self.post_message(self.Selected(view.selected))

    def seen(self) -> object:
        """What the picture depends on."""
        return self.view, self.source.revision, self.density, self._first

    def paint(self, width: int, height: int) -> Canvas:
        """Draw the ruler and the lanes."""
        assert self.view is not None
        self._scene = self._lay_out(Size(width, height))
        return draw(self.source, self.view, self._scene, colours=self.palette.colours)

    def _lay_out(self, size: Size) -> Scene:
        assert self.view is not None
        lanes, groups = self.source.lanes, len(self.source.groups)
        height = max(0, size.height - 1)
        layout = Layout.fitting(lanes, groups, height)
        if self.density is not None:
            layout = Layout(lanes, groups, height, self.density)
        if lanes:
            self._first = min(self._first, len(lanes) - 1)
            self._first = layout.reaching(self._first, min(self._wanted, len(lanes) - 1))
        return Scene.of(size.width, size.height, layout, layout.placed(self._first))

    # ------------------------------------------------------------ the mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to drag, maybe."""
        if self.view is not None and event.button == 1:
            self._drag = (event.x, self.view)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the time along."""
        if self._drag is None or self._scene is None:
            return
        x, view = self._drag
        moved = event.x - x
        if abs(moved) >= _DRAG_STARTS:
            cell = view.viewport.span // max(1, self._scene.plot_width)
            self.view = view.looking(view.viewport.panned(-moved * cell))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Without a drag it was a click: select what is there."""
        drag, self._drag = self._drag, None
        self.release_mouse()
        if drag is None or self._scene is None or abs(event.x - drag[0]) >= _DRAG_STARTS:
            return
        lane = self._scene.lane_at(event.y)
        assert self.view is not None
        view = self.view if lane is None else self.view.in_lane(lane)
        column = event.x - self._scene.gutter
        if column >= 0:
            view = view.pointed(view.viewport.time(column, self._scene.plot_width))
            if lane is not None:
                view = self._clicked(view, lane, column)
        self.view = view

    def _clicked(self, view: View, lane: int, column: int) -> View:
        """What a click on a cell selects: of all that is in the cell, what matters most."""
        assert self._scene is not None
        edges = view.viewport.edges(self._scene.plot_width)
        start, end = int(edges[column]), int(edges[column + 1])
        near = self.source.between(lane, start, end, limit=2_000)
        if not near:
            return view.at_cursor(self.source)
        worst = max(near, key=lambda one: (one.state, min(one.end, end) - max(one.start, start)))
        return view.selecting(worst)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in where the mouse is; with shift go back in time."""
        self._wheel(event, ZOOM, -1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out where the mouse is; with shift go on in time."""
        self._wheel(event, 1 / ZOOM, 1)

    def _wheel(self, event: events.MouseEvent, factor: float, steps: int) -> None:
        event.stop()
        if self.view is None or self._scene is None:
            return
        column = event.x - self._scene.gutter
        if event.shift:
            self.view = self.view.stepped(steps)
        elif event.ctrl or column < 0:
            self.go_lanes(steps)
        else:
            anchor = self.view.viewport.time(column, self._scene.plot_width)
            self.view = self.view.zoomed(factor, anchor)

    # ------------------------------------------------------------ steps that need the layout

    def go_lanes(self, steps: int) -> None:
        """Some lanes down, or up."""
        if self.view is not None and self.source.lanes:
            lane = min(max(self.view.lane + steps, 0), len(self.source.lanes) - 1)
            self.view = self.view.in_lane(lane)

    @property
    def lanes_on_screen(self) -> int:
        """How many lanes there is room for."""
        return max(1, len(self._scene.placed) if self._scene else 1)
