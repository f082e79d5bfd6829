"""A finished recording: its timeline, and what there is to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Static, TabbedContent, TabPane

from giltrace.analysis.timeline.state import State
from giltrace.tui.background import in_background
from giltrace.tui.bindings import OTHER, PANELS, THREADS, TIMELINE, bindings
from giltrace.tui.heading import facts, warnings
from giltrace.tui.palette import Palette
from giltrace.tui.screens.timeline import TimelineScreen
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.ruler import clock, step_ns
from giltrace.tui.widgets.bars import Legend, TitleBar
from giltrace.tui.widgets.findings import Findings
from giltrace.tui.widgets.inspector import Inspector
from giltrace.tui.widgets.overview import Overview
from giltrace.tui.widgets.threads import Row, Threads
from giltrace.tui.widgets.timeline import Timeline
from giltrace.tui.widgets.waits import Waits
from giltrace.wording.human import duration, share
from giltrace.wording.opening import notes
from giltrace.wording.results import Results
from giltrace.wording.stories import Story, tell

LEAST: Final = (60, 20)
"""Columns and rows below which there is no room."""
_WIDE: Final = 120


class RecordingScreen(TimelineScreen):
    """The timeline in the middle, the whole above it, panels below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(PANELS, OTHER)]
    KEYS = (TIMELINE, PANELS, OTHER, THREADS)
    NAMED = (TIMELINE, PANELS, OTHER)
    CSS_PATH = "recording.tcss"

    @dataclass
    class Analysed(Message):
        """The findings are there."""

        stories: list[Story]
        rows: list[Row]

    def __init__(self, source: TraceSource, name: str, palette: Palette) -> None:
        super().__init__()
        self._source = source
        self._called = name
        self._palette = palette
        self._results = Results(source.trace)
        self._evidence: dict[int, int] = {}

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        palette = self._palette
        yield Static(id="too-small")
        yield TitleBar(palette, self._called, facts(self._source.trace))
        yield Overview(self._source, palette)
        yield Timeline(self._source, palette)
        yield Legend(palette)
        with Horizontal(id="panels"):
            yield Inspector(id="beside")
            with TabbedContent(initial="findings"):
                with TabPane("1 Selected", id="inspector"):
                    yield Inspector()
                with TabPane("2 Findings", id="findings"):
                    yield Findings()
                with TabPane("3 Threads", id="threads"):
                    yield Threads()
                with TabPane("4 Waits", id="waits"):
                    yield Waits(palette, self._source.waits_of)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show what can be shown, and begin to analyse."""
        self.query_one(TitleBar).tell(warnings=warnings(self._source.trace))
        self.query_one(Overview).show(self.view.viewport)
        self.timeline.focus()
        self._tell_place()
        self._tell_waits()
        self._analyse()

    @work
    async def _analyse(self) -> None:
        """For large recordings this takes seconds; the timeline is there meanwhile."""
        rows = await in_background(self._rows)
        stories = await in_background(self._stories)
        self.post_message(self.Analysed(stories, rows))

    def _rows(self) -> list[Row]:
        results = self._results
        return [
            Row(
                self._source.lane_of_thread(one.thread),
                results.labels.thread(one.thread),
                one.hold_ns,
                one.wait_ns,
                one.waits,
                one.wait_max_ns,
                one.off_gil_ns,
                one.forced_out,
            )
            for one in results.summary.threads
        ]

    def _stories(self) -> list[Story]:
        return [tell(self._results, finding) for finding in self._results.findings]

    def on_recording_screen_analysed(self, message: Analysed) -> None:
        """Fill the panels."""
        trace = self._source.trace
        self.query_one(Findings).tell(message.stories, notes(trace))
        self.query_one(Threads).tell(message.rows, trace.end_ns - trace.start_ns)

    # ------------------------------------------------------------ what the widgets tell

    def on_timeline_moved(self, message: Timeline.Moved) -> None:
        """Everything else follows the timeline."""
        self.query_one(Overview).show(message.view.viewport)
        self._tell_place()
        self._tell_waits()

    def on_timeline_selected(self, message: Timeline.Selected) -> None:
        """Say all about it."""
        one = message.interval
        details = self._source.describe(one) if one is not None else None
        for inspector in self.query(Inspector):
            inspector.tell(details)
        if one is not None and self.focused is self.timeline and not self.has_class("-wide"):
            self.query_one(TabbedContent).active = "inspector"

    def on_overview_pointed(self, message: Overview.Pointed) -> None:
        """Go there."""
        viewport = self.view.viewport
        view = self.view.looking(viewport.panned(message.ts - viewport.start - viewport.span // 2))
        self.go(view.pointed(message.ts))

    def on_overview_counted(self, message: Overview.Counted) -> None:
        """The legend has what there is."""
        self.query_one(Legend).tell(message.totals.states)

    def on_findings_chosen(self, message: Findings.Chosen) -> None:
        """To the evidence of a finding, one wait after the other."""
        finding = self._results.findings[message.number]
        if not finding.evidence:
            self.go(self.view.looking(self.view.viewport.around(finding.start_ns, finding.end_ns)))
            return
        at = self._evidence.get(message.number, -1) + 1
        self._evidence[message.number] = at
        wait = self._source.of_wait(finding.evidence[at % len(finding.evidence)])
        self.go(self.view.in_lane(wait.lane).selecting(wait))

    def on_threads_chosen(self, message: Threads.Chosen) -> None:
        """To the lane of a thread."""
        self.go(self.view.in_lane(message.lane))
        self.timeline.focus()

    # ------------------------------------------------------------ panels

    def action_panel(self, name: str) -> None:
        """Show a panel, and let the keys work in it."""
        self.set_class(False, "-without-panels")
        if name == "inspector" and self.has_class("-wide"):
            self.query_one("#beside").focus()
            return
        tabs = self.query_one(TabbedContent)
        tabs.active = name
        pane = tabs.get_pane(name)
        for widget in pane.query("*"):
            if widget.focusable:
                widget.focus()
                break

    def action_panels(self) -> None:
        """All of the screen for the timeline, or not."""
        self.toggle_class("-without-panels")
        self.timeline.focus()

    def paint_with(self, palette: Palette) -> None:
        """Use other colours."""
        self._palette = palette
        super().paint_with(palette)

    # ------------------------------------------------------------ the size

    def on_resize(self, event: events.Resize) -> None:
        """Use the room there is."""
        width, height = event.size
        small = width < LEAST[0] or height < LEAST[1]
        self.set_class(small, "-too-small")
        self.query_one("#too-small", Static).update(Content(
            f"giltrace needs {LEAST[0]} × {LEAST[1]} characters.\nHere are {width} × {height}."
        ))  # fmt: skip
        wide = width >= _WIDE
        self.set_class(wide, "-wide")
        tabs = self.query_one(TabbedContent)
        if wide:
            tabs.hide_tab("inspector")
            if tabs.active in {"inspector", ""}:
                tabs.active = "findings"
        else:
            tabs.show_tab("inspector")

    # ------------------------------------------------------------ in other words

    def _tell_place(self) -> None:
        view = self.view
        viewport = view.viewport
        step = max(1, step_ns(viewport.span, self.size.width or 80) // 10)
        place = clock(view.cursor - viewport.low, step, viewport.high - viewport.low)
        if view.marked_ns is not None:
            place = f"A–B {duration(view.marked_ns)}{self._between_marks()}  {place}"
        self.query_one(TitleBar).tell(place=place)

    def _between_marks(self) -> str:
        """What the lane did between the marks, as far as it is worth a word."""
        view = self.view
        if not self._source.lanes or not view.marked_ns:
            return ""
        edges = np.sort(np.array(view.marks))
        if self._source.lanes[view.lane].is_gil:
            held = int(self._source.holders(view.lane, edges).held_ns[0])
            return f", held {share(held, view.marked_ns)}"
        ns = self._source.cells([view.lane], edges)[0, 0]
        waited = share(int(ns[State.WAITING]), view.marked_ns)
        held = int(ns[State.HOLDING] + ns[State.HELD_IDLE])
        return f", held {share(held, view.marked_ns)}, waited {waited}"

    def _tell_waits(self) -> None:
        panel = self.query_one(Waits)
        if not self._source.lanes:
            return
        lane = self._source.lanes[self.view.lane]
        who = "all threads" if lane.is_gil else lane.label
        panel.tell(who, lane.index)
