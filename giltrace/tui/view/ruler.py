"""The times written above the lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from giltrace.tui.view.viewport import Viewport

_APART: Final = 14
"""Cells from one tick to the next, at least: a label and some air."""
_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the ruler.

    Attributes:
        column: its cell.
        label: the time there, since the beginning of the recording.
    """

    column: int
    label: str


def ticks(view: Viewport, width: int) -> list[Tick]:
    """The ticks of a ruler of some width; all labels have one unit."""
    step = step_ns(view.span, width)
    first = -(-(view.start - view.low) // step) * step
    found = []
    for since in range(first, view.end - view.low, step):
        column = view.column(view.low + since, width)
        if column < width:
            found.append(Tick(column, clock(since, step, view.end - view.low)))
    return found


def step_ns(span: int, width: int) -> int:
    """From one tick to the next: 1, 2 or 5 times a power of ten."""
    least = max(1, -(-span * _APART // max(1, width)))
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


def clock(since_ns: int, step: int, greatest: int) -> str:
    """A time since the beginning: ``1.250 s``, ``12.5 ms``.

    Args:
        since_ns: the time.
        step: the distance to the next one, which asks for so many digits.
        greatest: the greatest time beside it, which asks for a unit.
    """
    scale, unit = next((one for one in _UNITS if greatest >= one[0]), _UNITS[-1])
    decimals = 0
    while step * 10**decimals % scale:
        decimals += 1
    whole, rest = divmod(since_ns, scale)
    if not decimals:
        return f"{whole:,} {unit}"
    return f"{whole:,}.{rest * 10**decimals // scale:0{decimals}d} {unit}"
