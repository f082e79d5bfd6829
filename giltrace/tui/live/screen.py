"""The screen of a live view: the timeline moves along, until one pauses it to look back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static

from giltrace.capture.reader import Capture
from giltrace.capture.records import SessionInfo
from giltrace.errors import GiltraceError
from giltrace.model.builder import build
from giltrace.record.live import Watched
from giltrace.record.wishes import PRIORITIES, wish
from giltrace.tui.background import in_background
from giltrace.tui.bindings import LIVE, OTHER, TIMELINE, bindings
from giltrace.tui.live import panels
from giltrace.tui.live.feed import Feed, Shot
from giltrace.tui.palette import Palette
from giltrace.tui.screens.timeline import TimelineScreen
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.view import View
from giltrace.tui.view.viewport import Viewport
from giltrace.tui.widgets.bars import Legend
from giltrace.tui.widgets.inspector import Inspector
from giltrace.tui.widgets.timeline import Timeline
from giltrace.wording.human import duration, signed

_T = TypeVar("_T")

_BLAME_ROWS: Final = 4
# What was wished for is taken for true until the recording says so, or so long.
_BELIEVED_S: Final = 3.0
_ERROR_S: Final = 8.0


class LiveScreen(TimelineScreen, inherit_bindings=False):
    """Gauges above the timeline; below it on whom to blame the waits, or what is selected."""

    # Its own keys first, so that there is room for them in the narrowest footer.
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(LIVE, TIMELINE, OTHER)]
    KEYS = (LIVE, TIMELINE, OTHER)
    NAMED = (LIVE, TIMELINE, OTHER)
    DEFAULT_CSS = """
    LiveScreen #heading { height: 1; }
    LiveScreen #gauges { height: 3; }
    LiveScreen #blame, LiveScreen Inspector { height: 6; }
    LiveScreen Inspector { display: none; }
    LiveScreen.-looking #blame { display: none; }
    LiveScreen.-looking Inspector { display: block; }
    """

    def __init__(self, watched: Watched, palette: Palette, *, seconds: float) -> None:
        """Prepare to follow.

        Args:
            watched: what is looked at.
            palette: colours.
            seconds: how far back one can look.
        """
        super().__init__()
        self.watched = watched
        self.shot: Shot | None = None
        self.paused = False
        self.said = ""
        self.feed = Feed(watched, self._from_feed(self.show), seconds=seconds)
        self._timeline = Timeline(_nothing(), palette)
        self._legend = Legend(palette)
        self._saved = 0
        self._wished: dict[tuple[int, int], tuple[int, float]] = {}
        self._pending: dict[tuple[int, int], tuple[int, str]] = {}
        self._asking = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="heading", markup=False)
        yield Static(id="gauges", markup=False)
        yield self._timeline
        yield self._legend
        yield Static(id="blame", markup=False)
        yield Inspector()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to follow."""
        self.timeline.focus()
        self.feed.start()
        self._write()

    def on_resize(self) -> None:
        """Lines are as long as the screen is wide."""
        self._write()

    # ------------------------------------------------------------ what comes from the feed

    def show(self, shot: Shot) -> None:
        """Take a shot; while paused only the gauges move."""
        self.shot = shot
        if shot.source is not None and not self.paused:
            self._place(shot.source, whole=True)
        if shot.source is not None:
            self._believe(shot.source)
        self._write()

    def _frozen(self, source: TraceSource) -> None:
        if self.paused:
            self._place(source, whole=False)
            self.say("paused: all that is kept can be looked at")

    def _place(self, source: TraceSource, *, whole: bool) -> None:
        """Show another source where the last one was: the same thread, the same time if it can."""
        timeline = self._timeline
        before = timeline.source
        label = before.lanes[timeline.view.lane].label if before.lanes and timeline.view else ""
        timeline.show(source)
        assert timeline.view is not None
        lane = next((one.index for one in source.lanes if one.label == label), 0)
        view = replace(timeline.view, selected=None, history=(), lane=lane)
        if whole:
            view = view.looking(Viewport.whole(source.start_ns, source.end_ns))
            view = replace(view, cursor=view.viewport.end - 1)
        timeline.view = view
        self._legend.tell(source.states)

    def _from_feed(self, take: Callable[[_T], None]) -> Callable[[_T], None]:
        """The same, to be called from the feed's thread."""

        def handed(what: _T) -> None:
            if self.is_running:
                self.call_later(take, what)

        return handed

    # ------------------------------------------------------------ keys

    def go(self, view: View | None, otherwise: str = "") -> None:
        """As ever while paused; while the timeline moves along, to another lane at most."""
        here = self.timeline.view
        if view is not None and not self.paused and replace(view, lane=self.view.lane) != here:
            self.say("space pauses; then there is time to look")
        else:
            super().go(view, otherwise)

    def say(self, text: str) -> None:
        """Tell the user something, in the first line."""
        self.said = text
        self._write()

    def action_pause(self) -> None:
        """Pause, or go on."""
        self.paused = not self.paused
        if self.paused:
            self.feed.freeze(self._from_feed(self._frozen))
            self.say("paused; all that is kept is being made ready")
            return
        self.feed.thaw()
        if self.shot is not None and self.shot.source is not None:
            self._place(self.shot.source, whole=True)
        self.say("")

    def action_save(self) -> None:
        """Write what is kept to a file of the working directory."""
        self._saved += 1
        name = f"live-{os.getpid()}-{self._saved}.giltrace"
        self.say(f"saving {name}")
        self.feed.save(Path(name), self._from_feed(lambda words: self.say(f"saved: {words}")))

    def action_mark(self) -> None:
        """A mark at the cursor."""
        super().action_mark()
        between = self.view.marked_ns
        if between is not None:
            self.say(f"{duration(between)} between the marks")

    def action_select(self) -> None:
        """What is at the cursor, if there is time to look."""
        if self.paused:
            super().action_select()
        else:
            self.say("space pauses; then there is time to look")

    # ------------------------------------------------------------ priorities

    def action_priority(self, step: int) -> None:
        """Give the thread of the lane another priority."""
        source = self.timeline.source
        assert isinstance(source, TraceSource)
        if not source.lanes or source.lanes[self.view.lane].is_gil:
            self.say("go to a thread first, with ↑ and ↓: + and - change its priority")
            return
        thread = source.trace.threads[source.thread_of(self.view.lane)]
        who = source.trace.processes[thread.process].pid, thread.tid
        now = source.trace.priorities.at(thread.index, source.end_ns)
        if who in self._wished:
            now = self._wished[who][0]
        wanted = min(max(now + step, PRIORITIES[0]), PRIORITIES[-1])
        self._wished[who] = wanted, time.monotonic()
        self._pending[who] = wanted, source.lanes[self.view.lane].label
        if not self._asking:
            self._asking = True
            self._send_wishes()

    @work
    async def _send_wishes(self) -> None:
        """One wish after the other, so that the last one is the one that counts."""
        while self._pending:
            who, (wanted, label) = self._pending.popitem()
            try:
                await in_background(partial(wish, self.watched.recorder, *who, wanted))
            except GiltraceError as error:
                self._wished.pop(who, None)
                words = f"{error.message}. {error.hint}" if error.hint else error.message
                self.notify(words, severity="warning", timeout=_ERROR_S, markup=False)
            else:
                self.say(f"{label}: priority {signed(wanted)}")
        self._asking = False

    def _believe(self, source: TraceSource) -> None:
        """What the recording says by now is no wish any more."""
        found = {
            (source.trace.processes[thread.process].pid, thread.tid): source.trace.priorities.at(
                thread.index, source.end_ns
            )
            for thread in source.trace.threads
        }
        until = time.monotonic() - _BELIEVED_S
        self._wished = {
            who: (wanted, since)
            for who, (wanted, since) in self._wished.items()
            if since > until and found.get(who) != wanted
        }

    # ------------------------------------------------------------ text

    def on_timeline_selected(self, message: Timeline.Selected) -> None:
        """Say what it is."""
        self._write()

    def _write(self) -> None:
        if not self.is_mounted:
            return
        width = self.size.width
        state = "PAUSED" if self.paused else "ended" if self.shot and self.shot.ended else "live"
        title = self.said or self._title()
        self._static("heading").update(panels.heading(title, self.shot, state, width))
        self._static("gauges").update(panels.gauges(self.shot, width))
        self._static("blame").update(panels.blamed(self.shot, _BLAME_ROWS))
        selected = self.timeline.view.selected if self.timeline.view is not None else None
        self.set_class(selected is not None and self.paused, "-looking")
        if selected is not None:
            self.query_one(Inspector).tell(self.timeline.source.describe(selected))

    def _title(self) -> str:
        log = self.watched.log
        return self.watched.title + (f"   (its output: {log.path})" if log is not None else "")

    def _static(self, name: str) -> Static:
        return self.query_one(f"#{name}", Static)


def _nothing() -> TraceSource:
    """The source before there is one."""
    now = time.monotonic_ns()
    return TraceSource(build(Capture(SessionInfo("", [], now, 0))))
