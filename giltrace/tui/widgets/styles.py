"""Inks as styles of the terminal."""

from __future__ import annotations

from rich.style import Style

from giltrace.analysis.timeline.state import State
from giltrace.tui.palette import Palette
from giltrace.tui.view.canvas import Run
from giltrace.tui.view.ink import ACCENT, FAINT, PLAIN, SELECTED, THREAD, TINT


class Styles:
    """The styles of a palette, each made once."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        self._ground = Style()
        self._made: dict[tuple[int, int, bool], Style] = {}

    def of(self, run: Run, ground: Style) -> Style:
        """The style of some characters on the ground of a widget."""
        if ground != self._ground:
            self._ground, self._made = ground, {}
        key = run.ink, run.paper, run.bold
        style = self._made.get(key)
        if style is None:
            style = self._made[key] = ground + self._make(*key)
        return style

    def _make(self, ink: int, paper: int, bold: bool) -> Style:
        inks = self.palette.inks
        if not self.palette.colours:
            return Style(
                bold=bold or ink in {ACCENT, SELECTED} or None,
                dim=ink == FAINT or None,
                reverse=paper == SELECTED or None,
            )
        colour, back = inks[ink], inks[paper]
        if ink == PLAIN and (PLAIN < paper < TINT or THREAD <= paper < SELECTED):
            colour = self.palette.on_solid
        if TINT < paper < THREAD and PLAIN < ink < State.HOLDING:
            colour = self.palette.on_tint or colour
        if paper == SELECTED and ink == PLAIN:
            colour = self.palette.on_selected
        return Style(color=colour, bgcolor=back, bold=bold or None)
