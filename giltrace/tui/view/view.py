"""Where one is in a timeline. Every step gives another place; nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from giltrace.tui.source import Interval, Jump, Source
from giltrace.tui.view.viewport import Viewport

_HISTORY: Final = 100
ZOOM: Final = 0.5
"""A step closer shows half as much."""
PAN: Final = 8
"""A step aside is one in so many parts of the screen."""


@dataclass(frozen=True, slots=True)
class View:
    """A place in a timeline.

    Attributes:
        viewport: the visible stretch of time.
        lane: the lane one is in; the GIL's stands for all of its group.
        cursor: the time one looks at, in ns.
        selected: the interval one looks at.
        marks: times that were marked, two at most, in the order in which they were.
        history: intervals that were selected before, the last one last.
    """

    viewport: Viewport
    lane: int = 0
    cursor: int = 0
    selected: Interval | None = None
    marks: tuple[int, ...] = ()
    history: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, source: Source) -> View:
        """All of a recording, and nothing selected."""
        viewport = Viewport.whole(source.start_ns, source.end_ns)
        return cls(viewport, cursor=viewport.start + viewport.span // 2)

    def grown(self, source: Source) -> View:
        """The same place in a recording that has grown, or been replaced."""
        viewport = self.viewport.within(source.start_ns, source.end_ns)
        lane = min(self.lane, max(0, len(source.lanes) - 1))
        return replace(self, viewport=viewport, lane=lane, cursor=_within(viewport, self.cursor))

    # ------------------------------------------------------------ time

    def zoomed(self, factor: float, anchor: int | None = None) -> View:
        """Closer or further, around the cursor or another time."""
        where = self.cursor if anchor is None else anchor
        return self.looking(self.viewport.zoomed(factor, where))

    def panned(self, ns: int) -> View:
        """Later or earlier; the cursor stays where it is on the screen."""
        viewport = self.viewport.panned(ns)
        moved = viewport.start - self.viewport.start
        # At either end of the recording, the cursor goes on alone.
        cursor = self.cursor + (moved or ns)
        return replace(self, viewport=viewport, cursor=_within(viewport, cursor))

    def stepped(self, steps: int) -> View:
        """Some steps later, or earlier."""
        return self.panned(steps * max(1, self.viewport.span // PAN))

    def paged(self, pages: int) -> View:
        """Some screens later, or earlier."""
        return self.panned(pages * self.viewport.span)

    def whole(self) -> View:
        """All of the recording."""
        return self.looking(Viewport.whole(self.viewport.low, self.viewport.high))

    def at_end(self, *, first: bool) -> View:
        """The beginning of the recording, or its end."""
        viewport = self.viewport
        far = viewport.high - viewport.low
        view = self.looking(viewport.panned(-far if first else far))
        return view.pointed(view.viewport.start if first else view.viewport.end - 1)

    def looking(self, viewport: Viewport) -> View:
        """At another stretch of time."""
        return replace(self, viewport=viewport, cursor=_within(viewport, self.cursor))

    def pointed(self, ts: int) -> View:
        """At a time, moving the screen if it is not visible."""
        viewport = self.viewport.reaching(ts)
        return replace(self, viewport=viewport, cursor=_within(viewport, ts))

    # ------------------------------------------------------------ lanes and intervals

    @property
    def origin(self) -> Interval | int:
        """From where to look for the next one: what is selected, if the cursor is there."""
        one = self.selected
        return one if one is not None and one.start <= self.cursor <= one.end else self.cursor

    def in_lane(self, lane: int) -> View:
        """In another lane."""
        return replace(self, lane=lane)

    def selecting(self, interval: Interval | None) -> View:
        """An interval, where it is; the screen moves only if it has to."""
        if interval is None:
            return replace(self, selected=None)
        history = self.history
        if self.selected is not None and self.selected != interval:
            history = (*history, self.selected)[-_HISTORY:]
        viewport = self.viewport.showing(interval.start, interval.end)
        cursor = interval.start
        if not interval.start <= self.cursor < max(interval.end, interval.start + 1):
            cursor = _within(viewport, (interval.start + interval.end) // 2)
        else:
            cursor = self.cursor
        return replace(
            self,
            viewport=viewport,
            cursor=_within(viewport, cursor),
            selected=interval,
            history=history,
        )

    def at_cursor(self, source: Source) -> View:
        """What is under the cursor."""
        return self.selecting(source.at(self.lane, self.cursor))

    def jumped(self, source: Source, jump: Jump, *, back: bool) -> View | None:
        """To the next interval of a kind in this lane, or None if there is none."""
        found = source.find(jump, self.lane, self.origin, back)
        return None if found is None else self.selecting(found)

    def moved(self, source: Source, *, back: bool) -> View:
        """To the interval after the selected one in its lane, or before it."""
        here = self.selected or source.at(self.lane, self.cursor)
        if here is None:
            return self
        lane = here.lane if not source.lanes[self.lane].is_gil else self.lane
        span = self.viewport.span
        for _ in range(20):
            edge = (here.start - span, here.start) if back else (here.end, here.end + span)
            found = source.at(lane, edge[1] - 1) if back else source.at(lane, edge[0])
            if found is not None:
                return self.selecting(found)
            near = source.between(lane, *edge, limit=10_000)
            if near:
                return self.selecting(near[-1 if back else 0])
            if near is None:
                span //= 8
            else:
                span *= 8
        return self

    def followed(self, source: Source) -> View | None:
        """To the other end of the hand-off that ends the selected interval, or None."""
        found = source.follow(self.selected) if self.selected is not None else None
        if found is None:
            return None
        view = self.selecting(found)
        return view if source.lanes[self.lane].is_gil else view.in_lane(found.lane)

    def returned(self, source: Source) -> View:
        """To the interval that was selected before."""
        if not self.history:
            return self
        *history, last = self.history
        view = replace(self.selecting(last), history=tuple(history))
        return view if source.lanes[self.lane].is_gil else view.in_lane(last.lane)

    # ------------------------------------------------------------ marks

    def marked(self) -> View:
        """With a mark at the cursor; a third one begins anew."""
        marks = self.marks if len(self.marks) < 2 else ()
        return replace(self, marks=(*marks, self.cursor))

    def unmarked(self) -> View:
        """Without marks."""
        return replace(self, marks=())

    @property
    def marked_ns(self) -> int | None:
        """The time between the marks, or None if there are not two."""
        return abs(self.marks[1] - self.marks[0]) if len(self.marks) == 2 else None


def _within(viewport: Viewport, ts: int) -> int:
    return min(max(ts, viewport.start), viewport.end - 1)
