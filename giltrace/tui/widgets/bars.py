"""The lines above and below the timeline."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from giltrace.analysis.timeline.state import State
from giltrace.tui.palette import Palette
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.ink import ACCENT, FAINT, PLAIN
from giltrace.tui.view.paint import GLYPHS
from giltrace.tui.widgets.painted import Painted
from giltrace.tui.words import NAMES

_LEGEND = (
    State.WAITING,
    State.HOLDING,
    State.HELD_IDLE,
    State.BLOCKED,
    State.LOCK,
    State.SLEEP,
    State.NATIVE,
    State.SWITCHING,
    State.UNKNOWN,
)


class TitleBar(Painted):
    """What is shown, and where one is."""

    DEFAULT_CSS = "TitleBar { height: 1; background: $panel; }"

    def __init__(self, palette: Palette, name: str, facts: Sequence[str]) -> None:
        super().__init__(palette)
        self._title = name
        self._facts = list(facts)
        self._place = ""
        self._warnings: list[str] = []

    def tell(
        self,
        *,
        place: str | None = None,
        warnings: Sequence[str] | None = None,
        facts: Sequence[str] | None = None,
    ) -> None:
        """Change some of it: the place on the right, what is wrong, what is known."""
        self._place = self._place if place is None else place
        self._warnings = self._warnings if warnings is None else list(warnings)
        self._facts = self._facts if facts is None else list(facts)
        self.redraw()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw the line; what matters least is left out first."""
        canvas = Canvas(width, height)
        room = width - cell_len(self._place) - 3
        x = 1 + canvas.text(1, 0, "giltrace ", ink=ACCENT, bold=True, width=room)
        x += canvas.text(x, 0, f"{self._title}  ", bold=True, width=max(0, room - x))
        for warning in self._warnings:
            text = f"! {warning}  "
            if x + cell_len(text) <= room:
                x += canvas.text(x, 0, text, ink=int(State.WAITING), bold=True)
        for number, fact in enumerate(self._facts):
            text = f"{'· ' if number else ''}{fact} "
            if x + cell_len(text) <= room:
                x += canvas.text(x, 0, text, ink=FAINT)
        canvas.text(width - cell_len(self._place) - 1, 0, self._place, ink=ACCENT)
        return canvas


class Legend(Painted):
    """Which colour or character is which state; only states that there are."""

    DEFAULT_CSS = "Legend { height: 1; background: $panel; }"

    def __init__(self, palette: Palette) -> None:
        super().__init__(palette)
        self._states: frozenset[State] = frozenset({State.HOLDING, State.WAITING})

    def tell(self, states: frozenset[State]) -> None:
        """Which states there are."""
        self._states = states
        self.redraw()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw the line."""
        canvas = Canvas(width, height)
        x = 1
        for state in _LEGEND:
            if state not in self._states:
                continue
            name = NAMES[state]
            if x + 2 + cell_len(name) > width:
                break
            x += canvas.text(x, 0, "■" if self.palette.colours else GLYPHS[state], ink=int(state))
            x += 1 + canvas.text(x + 1, 0, name, ink=PLAIN if self.palette.colours else FAINT) + 2
        return canvas
