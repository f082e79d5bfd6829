"""What every screen with a timeline can do: the keys of the timeline."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.screen import Screen

from giltrace.tui.bindings import TIMELINE, Key, bindings
from giltrace.tui.palette import Palette
from giltrace.tui.screens.help import HelpScreen
from giltrace.tui.screens.search import SearchScreen
from giltrace.tui.source import Hit, Jump
from giltrace.tui.view.rows import Density, gil_lane
from giltrace.tui.view.view import ZOOM, View
from giltrace.tui.widgets.painted import Painted
from giltrace.tui.widgets.timeline import Timeline

_DENSITIES = (None, Density.DENSE, Density.AIRY, Density.TALL)
_SECONDS = 2.0


class TimelineScreen(Screen[None]):
    """Keys become steps of the timeline's view."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TIMELINE)]
    KEYS: ClassVar[tuple[dict[str, tuple[Key, ...]], ...]] = (TIMELINE,)
    """The tables of keys that work here."""
    NAMED: ClassVar[tuple[dict[str, tuple[Key, ...]], ...]] = (TIMELINE,)
    """Those of them that work wherever the focus is."""

    hit: Hit | None = None

    @property
    def timeline(self) -> Timeline:
        """The timeline of this screen."""
        return self.query_one(Timeline)

    @property
    def view(self) -> View:
        """Where one is in it."""
        view = self.timeline.view
        assert view is not None
        return view

    def go(self, view: View | None, otherwise: str = "") -> None:
        """Show another place, or say why not."""
        if view is None:
            self.say(otherwise)
        else:
            self.timeline.view = view

    def say(self, text: str) -> None:
        """Tell the user something for a moment. Nothing in it is read as markup."""
        self.notify(text, timeout=_SECONDS, markup=False)

    def paint_with(self, palette: Palette) -> None:
        """Use other colours."""
        for widget in self.query(Painted):
            widget.palette = palette

    # ------------------------------------------------------------ time

    def action_step(self, steps: int) -> None:
        """Earlier or later by parts of a screen."""
        self.go(self.view.stepped(steps))

    def action_page(self, pages: int) -> None:
        """Earlier or later by screens."""
        self.go(self.view.paged(pages))

    def action_end(self, first: bool) -> None:
        """To the beginning or the end."""
        self.go(self.view.at_end(first=first))

    def action_zoom(self, closer: bool) -> None:
        """Closer or further."""
        self.go(self.view.zoomed(ZOOM if closer else 1 / ZOOM))

    def action_whole(self) -> None:
        """All of the recording."""
        self.go(self.view.whole())

    def action_zoom_selected(self) -> None:
        """So that the selected interval fills the screen."""
        one = self.view.selected
        if one is None:
            self.say("nothing is selected")
        else:
            self.go(self.view.looking(self.view.viewport.around(one.start, one.end)))

    # ------------------------------------------------------------ lanes

    def action_lane(self, steps: int) -> None:
        """Some lanes down or up."""
        self.timeline.go_lanes(steps)

    def action_lanes(self, screens: int) -> None:
        """Some screens of lanes down or up."""
        self.timeline.go_lanes(screens * self.timeline.lanes_on_screen)

    def action_gil(self) -> None:
        """To the GIL's lane of this group."""
        if self.timeline.source.lanes:
            self.go(self.view.in_lane(gil_lane(self.timeline.source.lanes, self.view.lane)))

    def action_density(self) -> None:
        """Lanes as high as fits, or of one of the three heights."""
        at = _DENSITIES.index(self.timeline.density)
        self.timeline.density = _DENSITIES[(at + 1) % len(_DENSITIES)]
        self.timeline.redraw()

    # ------------------------------------------------------------ intervals

    def action_jump(self, kind: str, back: bool) -> None:
        """To the next interval of a kind."""
        jump = Jump[kind]
        found = self._ask(jump, back=back)
        self.go(found, f"no {'previous' if back else 'next'} {jump.value} in {self._here()}")

    def action_neighbour(self, back: bool) -> None:
        """To the next interval of the lane."""
        if self.timeline.source.lanes:
            self.go(self.view.moved(self.timeline.source, back=back))

    def action_select(self) -> None:
        """What is at the cursor."""
        if self.timeline.source.lanes:
            self.go(self.view.at_cursor(self.timeline.source))

    def action_follow(self) -> None:
        """To the other end of the hand-off."""
        found = self.view.followed(self.timeline.source)
        self.go(found, "no hand-off belongs to what is selected")

    def action_back(self) -> None:
        """To what was selected before."""
        self.go(self.view.returned(self.timeline.source))

    def action_leave(self) -> None:
        """From a panel to the timeline; in the timeline, select nothing."""
        if self.focused is not self.timeline:
            self.timeline.focus()
        else:
            self.go(self.view.selecting(None))

    def action_mark(self) -> None:
        """A mark at the cursor."""
        self.go(self.view.marked())

    def action_unmark(self) -> None:
        """No marks any more."""
        self.go(self.view.unmarked())

    def action_help(self) -> None:
        """All keys."""
        self.app.push_screen(HelpScreen(*self.KEYS))

    # ------------------------------------------------------------ search

    def action_search(self) -> None:
        """Ask for a text."""
        self.app.push_screen(SearchScreen(self.timeline.source), self._found)

    def action_match(self, back: bool) -> None:
        """The next interval that has to do with what was found."""
        if self.hit is None:
            self.say("nothing was searched yet: press /")
            return
        found = self._match(self.hit, back=back)
        self.go(found, f"no {'previous' if back else 'next'} match in {self._here()}")

    def _found(self, hit: Hit | None) -> None:
        if hit is None:
            return
        if hit.lane >= 0:
            self.go(self.view.in_lane(hit.lane))
            return
        self.hit = hit
        if self._match(hit, back=False) is None:
            # It may be in another lane, or before the cursor: begin anew.
            self.go(self.view.in_lane(gil_lane(self.timeline.source.lanes, self.view.lane)))
            self.go(self.view.at_end(first=True).selecting(None))
        self.action_match(back=False)

    def _match(self, hit: Hit, *, back: bool) -> View | None:
        source, view = self.timeline.source, self.view
        if not source.lanes:
            return None
        found = source.find_hit(hit, view.lane, view.origin, back)
        return None if found is None else view.selecting(found)

    def _ask(self, jump: Jump, *, back: bool) -> View | None:
        if not self.timeline.source.lanes:
            return None
        return self.view.jumped(self.timeline.source, jump, back=back)

    def _here(self) -> str:
        lanes = self.timeline.source.lanes
        if not lanes:
            return "this recording"
        lane = lanes[self.view.lane]
        return "any lane" if lane.is_gil else lane.label
