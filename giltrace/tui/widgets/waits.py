"""How long waits were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from giltrace.analysis.summary import percentile
from giltrace.analysis.timeline.state import State
from giltrace.model.tables import I8
from giltrace.tui.palette import Palette
from giltrace.tui.view import paint
from giltrace.tui.view.canvas import Canvas
from giltrace.tui.view.ink import FAINT
from giltrace.tui.widgets.painted import Painted
from giltrace.wording.human import count, duration

_LOW: Final = 3
_HIGH: Final = 10
_EDGES: Final = np.array(
    [0] + [digit * 10**power for power in range(_LOW, _HIGH) for digit in (1, 2, 5)], np.int64
)
"""Up to 1 µs, 2 µs, 5 µs … 5 s, and what is longer."""
_LABELS: Final = ("1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s")


class Waits(Painted):
    """A histogram: a bar for each length, from microseconds to seconds."""

    DEFAULT_CSS = "Waits { height: 1fr; min-height: 5; }"

    def __init__(self, palette: Palette, lengths: Callable[[int], I8]) -> None:
        """Show waits; ``lengths`` tells how long those of a lane were."""
        super().__init__(palette)
        self._lengths = lengths
        self._who, self._lane = "", -1

    def tell(self, who: str, lane: int) -> None:
        """Show the waits of another lane. They are looked at when they are drawn."""
        if lane != self._lane:
            self._who, self._lane = who, lane
            self.redraw()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw the numbers, the bars and what they stand for."""
        canvas = Canvas(width, height)
        ns = np.sort(self._lengths(self._lane)) if self._lane >= 0 else np.zeros(0, np.int64)
        if not len(ns):
            canvas.text(1, 0, f"{self._who}: no waits" if self._who else "no waits")
            return canvas
        p50, p99 = (duration(percentile(ns, percent)) for percent in (50, 99))
        text = f"{self._who}: {count(len(ns), 'wait')}, half up to {p50}, 99 % up to {p99}"
        canvas.text(1, 0, f"{text}, longest {duration(int(ns[-1]))}")
        number = histogram(ns)
        each = max(1, (width - 2) // len(number))
        rows = max(1, height - 3)
        tops = np.repeat(number, each)
        if each > 2:
            tops[each - 1 :: each] = 0  # some air between bars
        picture = paint.bars(tops, int(number.max()), rows, int(State.WAITING))
        canvas.put(1, 1, picture)
        for decade, label in enumerate(_LABELS):
            x = 1 + each * (1 + 3 * decade)
            canvas.text(x, height - 2, f"╷{label}", ink=FAINT, width=3 * each)
        canvas.text(1, height - 1, "how long a wait was, and how many were so long", ink=FAINT)
        return canvas


def histogram(ns: I8) -> I8:
    """int64: how many are below 1 µs, below 2 µs, below 5 µs …; the last ones take 5 s or more."""
    at = np.searchsorted(_EDGES, ns, side="right") - 1
    return np.bincount(np.maximum(at, 0), minlength=len(_EDGES)).astype(np.int64)
