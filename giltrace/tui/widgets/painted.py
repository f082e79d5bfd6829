"""Widgets that are drawn on a canvas."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from giltrace.tui.palette import Palette
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.widgets.styles import Styles


class Painted(Widget):
    """Draws itself anew only when something has changed."""

    ALLOW_SELECT = False  # dragging means something else here

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._styles = Styles(palette)
        self._strips: list[Strip] = []
        self._painted: object = None

    @property
    def palette(self) -> Palette:
        """The colours."""
        return self._styles.palette

    @palette.setter
    def palette(self, palette: Palette) -> None:
        self._styles = Styles(palette)
        self.redraw()

    def redraw(self) -> None:
        """Draw anew, whatever has changed."""
        self._painted = None
        self.refresh()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw."""
        raise NotImplementedError

    def seen(self) -> object:
        """What the picture depends on, beside the size."""
        return None

    def render_line(self, y: int) -> Strip:
        """One row of the picture."""
        key = (self.size, self.seen())
        if key != self._painted:
            canvas = self.paint(self.size.width, self.size.height)
            ground = self.rich_style
            self._strips = [
                Strip(
                    [Segment(run.text, self._styles.of(run, ground)) for run in canvas.runs(row)],
                    canvas.width,
                )
                for row in range(canvas.height)
            ]
            self._painted = (self.size, self.seen())
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
