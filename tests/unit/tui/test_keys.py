"""Every key does what the table of keys says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import TabbedContent

from giltrace.analysis.timeline.state import State
from giltrace.tui.app import GiltraceApp
from giltrace.tui.bindings import OTHER, PANELS, THREADS, TIMELINE
from giltrace.tui.screens.help import HelpScreen
from giltrace.tui.screens.recording import RecordingScreen
from giltrace.tui.screens.search import SearchScreen
from giltrace.tui.source import Interval
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.view import View
from giltrace.tui.widgets.threads import Threads
from giltrace.tui.widgets.timeline import Timeline
from tests.support import screen, stories
from tests.support.timeline import timeline

SOURCE = TraceSource(timeline(stories.convoy(30)))
MS = 1_000_000
GIL, SERVER, SPINNER = range(3)


class Seen:
    """Where the app was when all keys were pressed."""

    def __init__(self, app: GiltraceApp) -> None:
        shown = app.screen
        self.screen = shown
        recording = next(one for one in app.screen_stack if isinstance(one, RecordingScreen))
        self.recording = recording
        view = recording.timeline.view
        assert view is not None
        self.view: View = view
        self.panel = recording.query_one(TabbedContent).active
        self.focus = type(app.focused).__name__ if app.focused else ""
        self.density = recording.timeline.density
        self.mono = not app.palette.colours
        self.order = [row.name for row in recording.query_one(Threads)._rows]
        self.said = [note.message for note in app._notifications]
        self.ended = app._exit

    @property
    def selected(self) -> Interval:
        """What is selected."""
        assert self.view.selected is not None
        return self.view.selected


async def _settle(pilot: Pilot[Any]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def _press(pilot: Pilot[Any], keys: Iterable[str]) -> Seen:
    for key in keys:
        await pilot.press(key)
    await _settle(pilot)
    assert isinstance(pilot.app, GiltraceApp)
    return Seen(pilot.app)


def press(*keys: str, size: tuple[int, int] = (100, 30)) -> Seen:
    """What a user sees who presses some keys, one after the other."""
    found = []

    async def story(pilot: Pilot[Any]) -> None:
        await _settle(pilot)
        found.append(await _press(pilot, keys))

    screen.drive(GiltraceApp(SOURCE, "convoy.giltrace", theme="textual-dark"), story, size)
    return found[0]


async def _anew(pilot: Pilot[Any]) -> None:
    """As if the app had just been started, which takes far longer than this."""
    app = pilot.app
    assert isinstance(app, GiltraceApp)
    while not isinstance(app.screen, RecordingScreen):
        app.pop_screen()
    shown = app.screen
    if not app.palette.colours:
        app.action_colours()
    shown.hit = None
    shown.set_class(False, "-without-panels")
    shown.query_one(TabbedContent).active = "findings"
    table = shown.query_one(Threads)
    table._column, table._reverse = 2, True
    table.tell(table._rows, SOURCE.end_ns)
    shown.timeline.density = None
    shown.timeline.view = View.of(SOURCE)
    shown.timeline.focus()
    await _settle(pilot)


def where(seen: Seen) -> tuple[int, State, int]:
    """Lane, state and start (ms) of what is selected."""
    return seen.selected.lane, seen.selected.state, seen.selected.start // MS


def _span(seen: Seen) -> float:
    whole = seen.view.viewport
    return whole.span / (whole.high - whole.low)


WAIT, HOLD = State.WAITING, State.HOLDING
CASES: dict[str, tuple[tuple[str, ...], Callable[[Seen], bool]]] = {
    "left": (("z", "z", "left"), lambda s: s.view.viewport.start < 110 * MS),
    "h": (("z", "z", "h"), lambda s: s.view.viewport.start < 110 * MS),
    "right": (("z", "z", "right"), lambda s: s.view.viewport.start > 120 * MS),
    "l": (("z", "z", "l"), lambda s: s.view.viewport.start > 120 * MS),
    "pageup": (("z", "z", "pageup"), lambda s: s.view.viewport.start < 50 * MS),
    "pagedown": (("z", "z", "pagedown"), lambda s: s.view.viewport.start > 180 * MS),
    "home": (("z", "home"), lambda s: s.view.cursor == s.view.viewport.low),
    "end": (("z", "end"), lambda s: s.view.cursor == s.view.viewport.high - 1),
    "z": (("z",), lambda s: 0.49 < _span(s) < 0.51),
    "Z": (("z", "z", "Z"), lambda s: 0.49 < _span(s) < 0.51),
    "e": (("home", "w", "e"), lambda s: s.view.viewport.span == s.selected.ns * 3 // 2),
    "0": (("z", "z", "0"), lambda s: s.view.viewport.is_whole),
    "up": (("down", "down", "up"), lambda s: s.view.lane == SERVER),
    "k": (("down", "down", "k"), lambda s: s.view.lane == SERVER),
    "down": (("down",), lambda s: s.view.lane == SERVER),
    "j": (("j", "j", "j", "j"), lambda s: s.view.lane == SPINNER),
    "ctrl+up": (("down", "down", "ctrl+up"), lambda s: s.view.lane == GIL),
    "ctrl+down": (("ctrl+down",), lambda s: s.view.lane == SPINNER),
    "g": (("down", "down", "g"), lambda s: s.view.lane == GIL),
    "v": (("v",), lambda s: s.density == 1),
    "w": (("home", "w", "w"), lambda s: where(s) == (SPINNER, WAIT, 6)),
    "W": (("home", "w", "w", "W"), lambda s: where(s) == (SERVER, WAIT, 1)),
    "x": (("x",), lambda s: where(s) == (SERVER, WAIT, 1)),
    "X": (("x", "x", "X"), lambda s: where(s) == (SERVER, WAIT, 1)),
    "s": (("home", "s", "s"), lambda s: where(s) == (SERVER, WAIT, 21)),
    "S": (("home", "s", "s", "s", "S"), lambda s: where(s) == (SERVER, WAIT, 21)),
    "o": (("home", "o", "o"), lambda s: where(s) == (SPINNER, HOLD, 7)),
    "O": (("home", "o", "o", "O"), lambda s: where(s) == (SERVER, HOLD, 6)),
    "f": (("home", "f"), lambda s: where(s) == (SPINNER, HOLD, 7)),
    "F": (("end", "F"), lambda s: s.selected.lane == SPINNER and s.selected.start > 280 * MS),
    "full_stop": (("down", "home", "w", "full_stop"), lambda s: where(s) == (SERVER, HOLD, 6)),
    "comma": (("down", "home", "w", "w", "comma"), lambda s: s.selected.state.is_off),
    "enter": (("down", "home", "right", "enter"), lambda s: s.selected.lane == SERVER),
    "a": (("home", "w", "a"), lambda s: where(s) == (SPINNER, HOLD, 0)),
    "backspace": (("home", "w", "a", "backspace"), lambda s: where(s) == (SERVER, WAIT, 1)),
    "b": (("home", "w", "a", "a", "b", "b"), lambda s: where(s) == (SERVER, WAIT, 1)),
    "escape": (("home", "w", "escape"), lambda s: s.view.selected is None),
    "m": (("home", "m", "end", "m"), lambda s: s.view.marked_ns == SOURCE.end_ns - 1),
    "M": (("m", "M"), lambda s: s.view.marks == ()),
    "slash": (("slash",), lambda s: isinstance(s.screen, SearchScreen)),
    "n": (("home", "slash", *"handle", "enter", "n"), lambda s: where(s) == (SERVER, HOLD, 16)),
    "N": (("home", "slash", *"handle", "enter", "n", "N"), lambda s: where(s) == (SERVER, HOLD, 6)),
    "1": (("2", "1"), lambda s: (s.panel, s.focus) == ("inspector", "Inspector")),
    "2": (("2",), lambda s: (s.panel, s.focus) == ("findings", "OptionList")),
    "3": (("3",), lambda s: (s.panel, s.focus) == ("threads", "Threads")),
    "4": (("4",), lambda s: s.panel == "waits"),
    "tab": (("tab",), lambda s: s.focus != "Timeline"),
    "p": (("p",), lambda s: not s.recording.query_one("#panels").display),
    "c": (("c",), lambda s: s.mono),
    "question_mark": (("question_mark",), lambda s: isinstance(s.screen, HelpScreen)),
    "f1": (("f1",), lambda s: isinstance(s.screen, HelpScreen)),
    "ctrl+p": (("ctrl+p",), lambda s: type(s.screen).__name__ == "CommandPalette"),
    "q": (("q",), lambda s: s.ended),
    "ctrl+q": (("ctrl+q",), lambda s: s.ended),
    "ctrl+c": (("ctrl+c",), lambda s: s.ended),
    "less_than_sign": (("3", "less_than_sign"), lambda s: s.order == ["Thread-1", "MainThread"]),
    "greater_than_sign": (("3", *["greater_than_sign"] * 5), lambda s: s.order[0] == "MainThread"),
    "r": (("3", "r"), lambda s: s.order == ["Thread-1", "MainThread"]),
}
"""For each key: what to press, the key itself last, and what is so then."""
QUITS = {"q", "ctrl+q", "ctrl+c"}
"""After these there is no app any more to press others in."""


def test_there_is_a_case_for_every_key() -> None:
    """A key that is added is tested."""
    keys = {
        one
        for table in (TIMELINE, PANELS, OTHER, THREADS)
        for group in table.values()
        for key in group
        for one in key.keys.split(",")
    }
    assert keys == set(CASES)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, bool]:
    """Whether each key did what it is there for, all in one app."""
    found = {}

    async def story(pilot: Pilot[Any]) -> None:
        for key, (keys, holds) in CASES.items():
            if key not in QUITS:
                await _anew(pilot)
                found[key] = holds(await _press(pilot, keys))

    screen.drive(GiltraceApp(SOURCE, "convoy.giltrace", theme="textual-dark"), story, (100, 30))
    return found


@pytest.mark.parametrize("key", CASES)
def test_key(outcomes: dict[str, bool], key: str) -> None:
    """It does what it is there for."""
    keys, holds = CASES[key]
    assert holds(press(*keys)) if key in QUITS else outcomes[key]


def test_a_jump_that_finds_nothing_says_so() -> None:
    """And nothing changes."""
    seen = press("home", "W")
    assert seen.said == ["no previous wait in any lane"]
    assert seen.view.selected is None


def test_a_finding_moves_the_timeline_to_its_evidence() -> None:
    """Again and again, from one piece of evidence to the next; the panel keeps the focus."""
    once, twice = press("2", "enter"), press("2", "enter", "enter")
    assert once.selected.state is State.WAITING
    assert once.view.lane == once.selected.lane == SERVER
    assert twice.selected != once.selected
    assert twice.focus == "OptionList"


def test_a_thread_of_the_table_is_gone_to() -> None:
    """Enter in the table is in its lane, and the keys are the timeline's again."""
    seen = press("3", "enter")
    assert seen.view.lane == SERVER
    assert seen.focus == "Timeline"


def test_a_thread_is_found_by_name() -> None:
    """Searching a thread goes to its lane."""
    assert press("slash", *"thread", "minus", "1", "enter").view.lane == SPINNER


def test_search_that_finds_nothing() -> None:
    """Enter takes nothing from an empty list, and escape leaves."""
    seen = press("slash", *"nonsense", "enter", "escape")
    assert isinstance(seen.screen, RecordingScreen)
    assert seen.view.selected is None


def test_escape_leaves_a_panel() -> None:
    """The focus goes back to the timeline, where something stays selected."""
    seen = press("home", "w", "2", "escape")
    assert seen.focus == "Timeline"
    assert seen.view.selected is not None


def test_a_key_of_the_timeline_works_in_a_panel() -> None:
    """One need not leave the findings to go to the next wait."""
    assert where(press("home", "2", "w")) == (SERVER, WAIT, 1)


def test_timeline_is_reachable() -> None:
    """What starts with the focus is the timeline."""
    assert press().focus == Timeline.__name__


@pytest.mark.repo
def test_the_page_has_every_key() -> None:
    """The table in the documentation is that of the program."""
    page = (Path(__file__).parents[3] / "docs/how-to/tui.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    expected = []
    for table in (TIMELINE, PANELS, OTHER, THREADS):
        for group, keys in table.items():
            expected.append(f"| **{group}** | |")
            for key in keys:
                shown = " ".join(f"`{name}`" for name in key.shown.split())
                expected.append(f"| {shown} | {key.does} |")
    assert rows == expected
