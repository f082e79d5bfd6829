"""The stretch of time that is on the screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from giltrace.model.tables import I8

LEAST_NS: Final = 1_000
"""Nobody needs to look closer than this; what happens is not recorded more exactly."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """The visible part of a recording. Every operation gives another one, within the recording.

    Attributes:
        low: where the recording begins, in ns.
        high: where it ends; after ``low``.
        start: where the visible part begins.
        span: how long it is.
    """

    low: int
    high: int
    start: int
    span: int

    @classmethod
    def whole(cls, low: int, high: int) -> Viewport:
        """All of a recording, which may have no length."""
        high = max(high, low + LEAST_NS)
        return cls(low, high, low, high - low)

    @property
    def end(self) -> int:
        """Where the visible part ends."""
        return self.start + self.span

    @property
    def is_whole(self) -> bool:
        """Whether all of the recording is visible."""
        return self.span == self.high - self.low

    def shows(self, ts: int) -> bool:
        """Whether a time is visible."""
        return self.start <= ts < self.end

    def zoomed(self, factor: float, anchor: int) -> Viewport:
        """``factor`` times the span; the time ``anchor`` stays where it is on the screen."""
        span = self._bounded(round(self.span * factor))
        anchor = min(max(anchor, self.start), self.end)
        before = (anchor - self.start) * span // self.span
        return self._at(anchor - before, span)

    def panned(self, ns: int) -> Viewport:
        """Later by ``ns``, or earlier if that is negative, as far as the recording goes."""
        return self._at(self.start + ns, self.span)

    def around(self, start: int, end: int, *, room: float = 0.25) -> Viewport:
        """So that a stretch of time is visible, with some room at both sides of it."""
        ns = max(end - start, 0)
        span = self._bounded(round(ns * (1 + 2 * room)))
        return self._at((start + end) // 2 - span // 2, span)

    def reaching(self, ts: int) -> Viewport:
        """The same if a time is visible, else moved so that it is in the middle."""
        return self if self.shows(ts) else self._at(ts - self.span // 2, self.span)

    def showing(self, start: int, end: int) -> Viewport:
        """So that an interval can be seen and told from its neighbours, moving as little as may be.

        If it is larger than the screen, or too small to be seen, the span changes.
        """
        ns = end - start
        if ns > self.span or ns * 200 < self.span:
            return self.around(start, end, room=1.0 if ns <= self.span else 0.25)
        if start >= self.start and end <= self.end:
            return self
        return self._at((start + end) // 2 - self.span // 2, self.span)

    def within(self, low: int, high: int) -> Viewport:
        """The same part of a recording that has grown, or of another one."""
        high = max(high, low + LEAST_NS)
        span = min(self.span, high - low)
        return Viewport(low, high, min(max(self.start, low), high - span), span)

    def edges(self, width: int) -> I8:
        """int64 [width + 1]: where the cells begin, and where the last one ends."""
        steps = np.arange(width + 1, dtype=np.int64)
        # In parts, because span times width may be more than 64 bits hold.
        whole, rest = divmod(self.span, max(1, width))
        return self.start + steps * whole + steps * rest // max(1, width)

    def column(self, ts: int, width: int) -> int:
        """The cell that a time is in; outside of 0 to ``width - 1`` if it is not visible."""
        return (ts - self.start) * width // self.span

    def time(self, column: int, width: int) -> int:
        """The time in the middle of a cell."""
        return self.start + (2 * column + 1) * self.span // (2 * max(1, width))

    def _bounded(self, span: int) -> int:
        return min(max(span, LEAST_NS), self.high - self.low)

    def _at(self, start: int, span: int) -> Viewport:
        start = min(max(start, self.low), self.high - span)
        return replace(self, start=start, span=span)
