"""Scales, ticks and legends: what plots have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from giltrace.experiment.drawing import FAINT, INK, RULE, Drawing, Line, Rect, Text

PALETTE: Final = (
    *("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700"),
    *("#0b7285", "#cf222e", "#57606a", "#0a3069", "#953800", "#044f1e"),
)
"""Colours told apart by most people, dark enough to be read on white."""

_TICKS: Final = 5
_LETTER: Final = 6.4


@dataclass(frozen=True)
class Frame:
    """The rectangle inside the axes, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Scale:
    """From values to pixels.

    Attributes:
        low: The value at ``start``.
        high: The value at ``end``.
        start: In pixels.
        end: In pixels.
        logarithmic: Equal factors are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where a value is; one outside is moved to the nearer end."""
        value = min(max(value, self.low), self.high)
        turn: Callable[[float], float] = math.log if self.logarithmic else float
        span = turn(self.high) - turn(self.low)
        share = (turn(value) - turn(self.low)) / span if span else 0.0
        return self.start + share * (self.end - self.start)


def round_ticks(high: float) -> list[float]:
    """Return round values from 0 to at least ``high``, about five steps."""
    high = max(high, 1e-9)
    raw = high / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [step * number for number in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values 1, 2 and 5 times powers of ten, just around ``low`` and ``high``."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max((n for n, value in enumerate(values) if value <= low), default=0)
    last = min((n for n, value in enumerate(values) if value >= high), default=len(values) - 1)
    return values[first : max(last, first + 1) + 1]


def add_y_axis(drawing: Drawing, frame: Frame, scale: Scale, ticks: Iterable[float]) -> None:
    """Draw a rule and a figure at each tick."""
    for tick in ticks:
        y = scale.at(tick)
        drawing.add(
            Line([(frame.left, y), (frame.right, y)], RULE),
            Text(frame.left - 8, y + 4, f"{tick:g}", 12, "end", FAINT),
        )


def add_head(drawing: Drawing, title: str, subtitle: str) -> None:
    """Write the title at the upper left, with a fainter line below."""
    drawing.add(Text(16, 26, title, 16, bold=True), Text(16, 46, subtitle, 12, fill=FAINT))


def add_legend(
    drawing: Drawing, entries: Sequence[tuple[str, str]], y: float, right: float
) -> float:
    """Write a row of coloured squares and words, in as many lines as it takes.

    Args:
        drawing: To draw on.
        entries: Words and colour of each.
        y: The baseline of the first line.
        right: Where a line must end.

    Returns:
        The baseline of the last line.
    """
    x = 16.0
    for words, colour in entries:
        width = 30 + len(words) * _LETTER
        if x + width > right and x > 16:
            x, y = 16.0, y + 18
        drawing.add(Rect(x, y - 9, 10, 10, colour), Text(x + 15, y, words, 12, fill=INK))
        x += width
    return y
