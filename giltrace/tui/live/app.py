"""The live view: the timeline moves along, until one pauses it to look back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from giltrace.capture.reader import Capture
from giltrace.capture.records import SessionInfo
from giltrace.errors import GiltraceError
from giltrace.model.builder import build
from giltrace.record.live import Watched
from giltrace.tui.live import panels
from giltrace.tui.live.feed import Feed, Shot
from giltrace.tui.palette import Palette
from giltrace.tui.source import Interval, Jump
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.view import ZOOM, View
from giltrace.tui.view.viewport import Viewport
from giltrace.tui.widgets.timeline import Timeline
from giltrace.wording.human import duration

_T = TypeVar("_T")

_BLAME_ROWS: Final = 4

HELP: Final = """\
space      pause, and look back over all that is kept; again: go on
s          save what is kept as a capture
m          mark a time; two marks tell the time between them
← →        earlier, later             (while paused)
+ -        closer, further            (while paused)
↑ ↓        another thread
w  W       next wait, previous wait   (while paused)
enter      what is under the cursor   (while paused)
q          quit; the program goes on

Nothing that is done here changes the program or its recording."""


class Help(ModalScreen[None]):
    """The keys."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > Static { width: auto; height: auto; padding: 1 2; border: round $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """Just the text."""
        yield Static(HELP, markup=False)


class LiveApp(App[None]):
    """Shows a recording while it is made."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #heading { height: 1; }
    #gauges { height: 3; }
    #below { height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause"),
        Binding("s", "save", "Save"),
        Binding("m", "mark", "Mark"),
        Binding("left,h", "pan(-1)", "Earlier", show=False),
        Binding("right,l", "pan(1)", "Later", show=False),
        Binding("plus,equals_sign", "zoom(1)", "Closer", show=False),
        Binding("minus", "zoom(-1)", "Further", show=False),
        Binding("up,k", "lane(-1)", "Up", show=False),
        Binding("down,j", "lane(1)", "Down", show=False),
        Binding("w,n", "wait(False)", "Next wait", show=False),
        Binding("W,p", "wait(True)", "Previous wait", show=False),
        Binding("enter", "select", "Select", show=False),
        Binding("question_mark", "help", "Keys"),
        Binding("q,ctrl+c", "quit", "Quit"),
    ]

    def __init__(self, watched: Watched, palette: Palette, *, seconds: float) -> None:
        super().__init__()
        self.watched = watched
        self.shot: Shot | None = None
        self.paused = False
        self.said = ""
        self._timeline = Timeline(_nothing(), palette)
        self._feed = Feed(watched, self._from_feed(self.show), seconds=seconds)
        self._saved = 0

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="heading", markup=False)
        yield Static(id="gauges", markup=False)
        yield self._timeline
        with Vertical(id="below"):
            yield Static(id="blame", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self._feed.start()
        self.set_interval(0.5, self._watch_feed)
        self._write()

    def on_resize(self) -> None:
        """Lines are as long as the screen is wide."""
        self._write()

    async def action_quit(self) -> None:
        """Leave; the recording is left when the screen is."""
        self.exit()

    def end(self) -> None:
        """Stop following; after the screen has gone."""
        self._feed.stop()

    # ------------------------------------------------------------ what comes from the feed

    def show(self, shot: Shot) -> None:
        """Take a shot; while paused only the gauges move."""
        self.shot = shot
        if shot.source is not None and not self.paused:
            self._place(shot.source, whole=True)
        self._write()

    def _frozen(self, source: TraceSource) -> None:
        if self.paused:
            self._place(source, whole=False)
            self._say("paused: all that is kept can be looked at")

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

    def _from_feed(self, take: Callable[[_T], None]) -> Callable[[_T], None]:
        """The same, to be called from the feed's thread."""

        def handed(what: _T) -> None:
            if self.is_running:
                self.call_later(take, what)

        return handed

    def _watch_feed(self) -> None:
        if self._feed.failure is not None:
            self.exit()

    @property
    def failure(self) -> GiltraceError | None:
        """Why there is nothing more to follow."""
        return self._feed.failure

    # ------------------------------------------------------------ keys

    def action_pause(self) -> None:
        """Pause, or go on."""
        self.paused = not self.paused
        if self.paused:
            self._feed.freeze(self._from_feed(self._frozen))
            self._say("paused; all that is kept is being made ready")
        else:
            self._feed.thaw()
            self._say("")
            if self.shot is not None and self.shot.source is not None:
                self._place(self.shot.source, whole=True)
        self._write()

    def action_save(self) -> None:
        """Write what is kept to a file of the working directory."""
        self._saved += 1
        name = f"live-{os.getpid()}-{self._saved}.giltrace"
        self._say(f"saving {name}")
        self._feed.save(Path(name), self._from_feed(lambda words: self._say(f"saved: {words}")))

    def action_mark(self) -> None:
        """A mark at the cursor."""
        view = self._timeline.view
        if view is not None:
            self._timeline.view = view = view.marked()
            between = view.marked_ns
            if between is not None:
                self._say(f"{duration(between)} between the marks")

    def action_pan(self, steps: int) -> None:
        """Earlier or later."""
        self._move(lambda view: view.stepped(steps))

    def action_zoom(self, steps: int) -> None:
        """Closer or further."""
        self._move(lambda view: view.zoomed(ZOOM if steps > 0 else 1 / ZOOM))

    def action_lane(self, steps: int) -> None:
        """Another thread."""
        self._timeline.go_lanes(steps)

    def action_wait(self, back: bool) -> None:
        """The next wait in this lane, or the previous one."""
        source = self._timeline.source
        self._move(lambda view: view.jumped(source, Jump.WAIT, back=back) or view)

    def action_select(self) -> None:
        """What is under the cursor."""
        source = self._timeline.source
        self._move(lambda view: view.at_cursor(source))

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help())

    def _move(self, step: Callable[[View], View]) -> None:
        if not self.paused:
            self._say("space pauses; then there is time to look")
        elif self._timeline.view is not None and self._timeline.source.lanes:
            self._timeline.view = step(self._timeline.view)

    def on_timeline_selected(self, event: Timeline.Selected) -> None:
        """Say what it is."""
        self._write(event.interval)

    # ------------------------------------------------------------ text

    def _say(self, words: str) -> None:
        self.said = words
        self._write()

    def _write(self, selected: Interval | None = None) -> None:
        width = self.size.width
        state = "PAUSED" if self.paused else "ended" if self.shot and self.shot.ended else "live"
        title = self.said or self._title()
        self._static("heading").update(panels.heading(title, self.shot, state, width))
        self._static("gauges").update(panels.gauges(self.shot, width))
        view = self._timeline.view
        chosen = selected or (view.selected if view is not None else None)
        if chosen is not None and self.paused:
            self._static("blame").update(panels.details(self._timeline.source.describe(chosen)))
        else:
            self._static("blame").update(panels.blamed(self.shot, _BLAME_ROWS))

    def _title(self) -> str:
        output = self.watched.output
        return self.watched.title + (f"   (its output: {output})" if output else "")

    def _static(self, name: str) -> Static:
        return self.query_one(f"#{name}", Static)


def _nothing() -> TraceSource:
    """The source before there is one."""
    now = time.monotonic_ns()
    return TraceSource(build(Capture(SessionInfo("", [], now, 0))))
