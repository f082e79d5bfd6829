"""The timeline as a widget: what it draws, and what the mouse does."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from giltrace.analysis.timeline.state import State
from giltrace.model import build
from giltrace.model.text import printable
from giltrace.tui.palette import DARK, MONO, Palette
from giltrace.tui.source import Interval
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.widgets.timeline import Timeline
from tests.support import screen, stories
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.timeline import timeline

SIZE = (80, 12)
MS = 1_000_000


class TimelineApp(App[None]):
    """A timeline, and what it tells."""

    def __init__(self, source: TraceSource, palette: Palette = MONO) -> None:
        super().__init__()
        self.timeline = Timeline(source, palette)
        self.selected: list[Interval | None] = []

    def compose(self) -> ComposeResult:
        """Nothing else."""
        yield self.timeline

    def on_timeline_selected(self, event: Timeline.Selected) -> None:
        """Remember it."""
        self.selected.append(event.interval)


def test_who_has_ended_comes_last() -> None:
    """Behind those that live, whose colours do not change for it."""
    trace = timeline("a: hold 0-1ms; b: hold 1-2ms; c: hold 2-3ms; d: hold 3-4ms")
    before = {lane.label: lane for lane in TraceSource(trace).lanes}
    assert list(before) == ["GIL", "a", "b", "c", "d"]
    source = TraceSource(trace, living={1, 3})
    assert [lane.label for lane in source.lanes] == ["GIL", "b", "d", "a", "c"]
    for index, lane in enumerate(source.lanes):
        assert lane.index == index and lane.colour == before[lane.label].colour
        assert lane.is_gil or trace.threads[source.thread_of(index)].name == lane.label
    hold = source.of_hold(0)
    assert source.lanes[hold.lane].label == "a" and source.at(hold.lane, 0) == hold


def test_the_mouse_selects() -> None:
    """A click on a cell selects what matters most in it."""
    app = TimelineApp(TraceSource(timeline(stories.convoy(2))))

    async def click(pilot: Pilot[Any]) -> None:
        await pilot.click(Timeline, offset=(20, 4))

    screen.drive(app, click, SIZE)
    assert [one.state for one in app.selected if one] == [State.WAITING]


def test_the_wheel_zooms_where_the_mouse_is() -> None:
    """What is under the mouse stays there."""
    app = TimelineApp(TraceSource(timeline(stories.convoy(40))))

    async def zoom(pilot: Pilot[Any]) -> None:
        view = app.timeline.view
        assert view is not None
        column, width = 50 - 13, 80 - 13
        before = view.viewport.time(column, width)
        await pilot._post_mouse_events(_scroll(), Timeline, offset=(50, 3))
        assert app.timeline.view is not None
        after = app.timeline.view.viewport
        assert after.span == view.viewport.span // 2
        assert abs(after.column(before, width) - column) <= 1

    screen.drive(app, zoom, SIZE)


def _scroll() -> list[Any]:
    from textual.events import MouseScrollUp

    return [MouseScrollUp]


@pytest.mark.parametrize("palette", [MONO, DARK], ids=lambda palette: palette.name)
def test_hostile_names(palette: Palette) -> None:
    """No thread, file or function name breaks a row, and each is shown, as far as there is room."""
    app = TimelineApp(TraceSource(build(_named("first").capture())), palette)

    async def look(pilot: Pilot[Any]) -> None:
        for name in NAMES:
            app.timeline.show(TraceSource(build(_named(name).capture())))
            await pilot.pause()
            strips = app.screen._compositor.render_strips(app.size)
            assert {cell_len("".join(part.text for part in strip)) for strip in strips} == {80}
            assert printable(name)[:5].strip() in screen.text(app)

    screen.drive(app, look, SIZE)


def _named(name: str) -> Recording:
    """Two threads, one waiting for the other, and everything has the same name."""
    made = Recording()
    process = made.process()
    one, other = process.thread(name), process.thread(f"{name} ")
    process.acquire(one, 0, 1)
    process.wait(other, 1 * MS, 1)
    process.release(one, 5 * MS, Spot(name, 1, name), name=name)
    process.acquire(other, 5 * MS, 2)
    process.release(other, 9 * MS, Spot(name, 1, name), name=name)
    return made


def test_dragging_pans() -> None:
    """The time under the mouse goes along with it, and nothing is selected by that."""
    app = TimelineApp(TraceSource(timeline(stories.convoy(40))))

    async def drag(pilot: Pilot[Any]) -> None:
        view = app.timeline.view
        assert view is not None
        app.timeline.view = view.zoomed(0.25)
        await pilot.pause()
        before = app.timeline.view.viewport
        await pilot.mouse_down(Timeline, offset=(60, 4))
        await pilot.hover(Timeline, offset=(40, 4))
        await pilot.mouse_up(Timeline, offset=(40, 4))
        after = app.timeline.view.viewport
        assert after.span == before.span
        cell = before.span // (80 - app.timeline._scene.gutter)  # type: ignore[union-attr]
        assert abs(after.start - before.start - 20 * cell) <= cell

    screen.drive(app, drag, SIZE)
    assert app.selected == []


def test_a_name_is_clicked() -> None:
    """A click on the name of a lane goes to the lane."""
    app = TimelineApp(TraceSource(timeline(stories.convoy(2))))

    async def click(pilot: Pilot[Any]) -> None:
        await pilot.click(Timeline, offset=(3, 7))
        assert app.timeline.view is not None
        assert app.timeline.view.lane == 2

    screen.drive(app, click, SIZE)
