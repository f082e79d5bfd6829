"""The keys of a live view, on a recording that stands still."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from giltrace.capture import read
from giltrace.model import load
from giltrace.record.live import Watched
from giltrace.record.session import Followed
from giltrace.tui.bindings import LIVE
from giltrace.tui.live.app import LiveApp
from giltrace.tui.live.pick import PickApp
from giltrace.tui.live.screen import LiveScreen
from tests.support import screen
from tests.support.recording import Recording, Spot

MS = 1_000_000


def capture(folder: Path, name: str = "io") -> Path:
    """Of every 10 ms, `cpu` holds 6, and a thread waits for 5 of them, for two seconds."""
    recording = Recording()
    process = recording.process()
    a, b = process.thread("cpu"), process.thread(name)
    for i in range(200):
        t = i * 10 * MS
        process.acquire(a, t, 2 * i + 1)
        process.wait(b, t + 1 * MS, 2 * i + 1)
        process.release(a, t + 6 * MS, Spot("app.py", 7, "spin"), check=True)
        process.acquire(b, t + 6 * MS, 2 * i + 2)
        process.release(b, t + 7 * MS, Spot("app.py", 9, "ask"), call=True, name="socket.recv")
    process.end_ns = 2_000 * MS
    return recording.write(folder / "out.giltrace")


class Look:
    """A live view of a recording that has ended, so nothing moves any more."""

    def __init__(self, path: Path, recorder: int = 0) -> None:
        watched = Watched(path, "app.py", others=recorder)
        self.app = LiveApp(watched, theme="textual-dark", mono=True, seconds=60)

    def run(self, steps: Any, size: tuple[int, int] = (100, 30)) -> None:
        """Do something with it."""
        try:
            screen.drive(self.app, steps, size)
        finally:
            self.app.end()


async def until(pilot: Pilot[Any], words: str) -> str:
    """The screen, once it says something."""
    while words not in (text := screen.text(pilot.app)):
        await pilot.pause(0.02)
    return text


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_says_on_whom_the_waits_fell(tmp_path: Path) -> None:
    """Gauges, percentiles, the timeline's lanes and the line to blame are on one screen."""

    async def steps(pilot: Pilot[Any]) -> None:
        text = await until(pilot, "cpu at app.py:7 in spin")
        assert "100 %" in text and "50 % 5" in text and "GIL held" in text and "ended" in text
        assert "A cpu" in text and "B io" in text

    Look(capture(tmp_path)).run(steps)


def test_pause_look_back_and_go_on(tmp_path: Path) -> None:
    """A wait that is found says who held the GIL; what moves, moves only while paused."""

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, "cpu at app.py:7 in spin")
        await pilot.press("left")
        await until(pilot, "space pauses")
        await pilot.press("space")
        await until(pilot, "all that is kept can be looked at")
        await pilot.press("down", "down", "W")
        text = await until(pilot, "io waited for the GIL for 5 ms")
        assert "Held meanwhile by" in text and "cpu at app.py:7 in spin" in text
        shown = pilot.app.screen
        assert isinstance(shown, LiveScreen)
        view = shown.view
        await pilot.press("z", "z", "left")
        assert shown.view.viewport.span < view.viewport.span
        await pilot.press("m", "right", "m")
        await until(pilot, "between the marks")
        await pilot.press("Z", "w", "enter", "up")
        await pilot.press("space")
        await until(pilot, "blame, last")

    Look(capture(tmp_path)).run(steps)


def test_save(tmp_path: Path) -> None:
    """What is kept becomes a capture; a file that is there already is not touched."""
    theirs = tmp_path / f"live-{os.getpid()}-2.giltrace"
    theirs.write_text("theirs")

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, "cpu at app.py:7 in spin")
        await pilot.press("ctrl+s")
        await until(pilot, "saved: the last")
        await pilot.press("ctrl+s")
        await until(pilot, "exists")

    Look(capture(tmp_path)).run(steps)
    saved = tmp_path / f"live-{os.getpid()}-1.giltrace"
    assert len(load(saved).waits) == 200 and read(saved).loss.ended
    assert theirs.read_text() == "theirs"


def test_help_and_quit(tmp_path: Path) -> None:
    """The keys are explained, and q leaves."""

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await until(pilot, "save what is kept as a capture")
        await pilot.press("escape", "q")

    look = Look(capture(tmp_path))
    look.run(steps)
    assert not look.app.is_running and look.app.failure is None


@pytest.mark.parametrize(
    ("name", "size"),
    [("[red]markup[/red]", (60, 20)), ("\x1b[31m日本", (60, 20)), ("x" * 10_000, (300, 80))],
)
def test_hostile_names(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """Names are text, and lines stay within the screen, however small or large it is."""

    async def steps(pilot: Pilot[Any]) -> None:
        text = await until(pilot, "cpu at app.py:7 in spin")
        assert "\x1b" not in text

    Look(capture(tmp_path, name)).run(steps, size)


def test_what_is_no_capture(tmp_path: Path) -> None:
    """The view ends, and knows why."""
    path = tmp_path / "out.giltrace"
    path.write_bytes(b"x" * 100)
    look = Look(path)

    async def steps(pilot: Pilot[Any]) -> None:
        while pilot.app.is_running and look.app.failure is None:
            await pilot.pause(0.02)

    look.run(steps)
    assert look.app.failure is not None


def test_pick_one_of_several(tmp_path: Path) -> None:
    """Recordings under way are listed with what they record."""
    recordings = [Followed(10, tmp_path / "[red]a", (11, 12)), Followed(20, tmp_path / "b", ())]
    app = PickApp(recordings)

    async def steps(pilot: Pilot[Any]) -> None:
        text = screen.text(pilot.app)
        assert "[red]a  processes: 11, 12" in text and "none yet" in text
        assert pilot.app.query_one(OptionList).option_count == 2
        await pilot.press("down", "enter")

    screen.drive(app, steps, (100, 20))
    assert app.return_value == recordings[1]


def test_commands_by_name(tmp_path: Path) -> None:
    """The palette has what the keys do, and does it."""

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, "cpu at app.py:7 in spin")
        await pilot.press("ctrl+p")
        await pilot.press(*"save what")
        await until(pilot, "save what is kept as a capture")
        await pilot.press("down", "enter")
        await until(pilot, "saved: the last")

    Look(capture(tmp_path)).run(steps)


def test_colours_and_lanes_while_it_runs(tmp_path: Path) -> None:
    """What moves no time needs no pause."""

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, "cpu at app.py:7 in spin")
        shown = pilot.app.screen
        assert isinstance(shown, LiveScreen)
        await pilot.press("down", "down", "v")
        assert shown.view.lane == 2 and shown.timeline.density is not None
        await pilot.press("g", "c", "enter")
        assert shown.view.lane == 0 and shown.timeline.palette.colours
        assert "space pauses" in screen.text(pilot.app)

    Look(capture(tmp_path)).run(steps)


@pytest.mark.repo
def test_the_page_has_every_key_of_its_own() -> None:
    """The table in the documentation is that of the program."""
    page = (Path(__file__).parents[3] / "docs/how-to/live.md").read_text()
    for key in (key for keys in LIVE.values() for key in keys):
        assert f"`{key.shown}`" in page
