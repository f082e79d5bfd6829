"""The colours of the timeline.

States have the colours of Okabe and Ito, which people with any kind of colour vision can tell
apart; they also differ in brightness. Without colours there are characters instead: see
`giltrace.tui.view.paint`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from giltrace.analysis.timeline.state import State
from giltrace.tui.view.ink import ACCENT, FAINT, INKS, SELECTED, THREAD, THREADS, TINT

_SOLID: Final = {
    State.UNKNOWN: "#8a8f98",
    State.SLEEP: "#8a8f98",
    State.LOCK: "#cc79a7",
    State.BLOCKED: "#56b4e9",
    State.NATIVE: "#f0e442",
    State.SWITCHING: "#c8b48a",
    State.HOLDING: "#009e73",
    State.HELD_IDLE: "#e69f00",
    State.WAITING: "#d55e00",
}
_DARK_TINT: Final = {
    State.UNKNOWN: "#23272e",
    State.SLEEP: "#1f242b",
    State.LOCK: "#41283a",
    State.BLOCKED: "#17334a",
    State.NATIVE: "#4a4718",
    State.SWITCHING: "#3a3429",
    State.HOLDING: "#004d38",
    State.HELD_IDLE: "#5c4000",
    State.WAITING: "#662d00",
}
_LIGHT_TINT: Final = {
    State.UNKNOWN: "#e4e6ea",
    State.SLEEP: "#e9ebef",
    State.LOCK: "#f3dcea",
    State.BLOCKED: "#d6ebf9",
    State.NATIVE: "#faf6c3",
    State.SWITCHING: "#f0e9da",
    State.HOLDING: "#b8e6d8",
    State.HELD_IDLE: "#fae3b4",
    State.WAITING: "#f7d3bb",
}
# Other hues than those of the states, as far as possible, since they mean something else.
_THREADS: Final = (
    "#7aa2f7",
    "#e0af68",
    "#9ece6a",
    "#bb9af7",
    "#f7768e",
    "#2ac3de",
    "#c0caf5",
    "#b4966e",
)


@dataclass(frozen=True, slots=True)
class Palette:
    """What each ink is.

    Attributes:
        name: as it is called on the command line.
        inks: a colour for each ink of `giltrace.tui.view.ink`; None is the theme's own.
        on_solid: the colour of labels in solid colours.
        on_selected: that of labels in what is selected.
        on_tint: that of labels on tints; None is the solid ink of the state.
        colours: False if there are none, so that characters have to do.
    """

    name: str
    inks: tuple[str | None, ...]
    on_solid: str | None
    on_selected: str | None
    on_tint: str | None = None
    colours: bool = True


def _palette(
    name: str, tints: dict[State, str], selected: tuple[str, str], faint: str, accent: str
) -> Palette:
    inks: list[str | None] = [None] * INKS
    for state, colour in _SOLID.items():
        inks[state] = colour
        inks[TINT + state] = tints[state]
    for number, colour in enumerate(_THREADS):
        inks[THREAD + number] = colour
    inks[SELECTED], inks[FAINT], inks[ACCENT] = selected[0], faint, accent
    # Bright inks are hard to read on light tints.
    on_tint = "#1a1a1a" if name == "light" else None
    return Palette(name, tuple(inks), "#000000", selected[1], on_tint)


assert len(_THREADS) == THREADS
DARK: Final = _palette("dark", _DARK_TINT, ("#ffffff", "#000000"), "#5b6270", "#ffd75f")
LIGHT: Final = _palette("light", _LIGHT_TINT, ("#000000", "#ffffff"), "#9aa0aa", "#8a4b00")
MONO: Final = Palette("mono", (None,) * INKS, None, None, colours=False)
