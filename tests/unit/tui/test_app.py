"""The screens: every size, every kind of capture, names that would break a layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Static

from giltrace.cli.main import cli
from giltrace.errors import GiltraceError
from giltrace.model import Trace, build
from giltrace.tui.app import GiltraceApp, theme_named
from giltrace.tui.bindings import OTHER, PANELS, TIMELINE
from giltrace.tui.screens.help import help_text
from giltrace.tui.terminal import _brightness
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.widgets.findings import Findings
from giltrace.tui.widgets.inspector import Inspector
from giltrace.tui.widgets.overview import Overview
from giltrace.tui.widgets.timeline import Timeline
from tests.support import screen, stories
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.timeline import timeline, write_capture

SIZES = [(60, 20), (80, 24), (119, 40), (300, 80)]
MS = 1_000_000


def show(trace: Trace, size: tuple[int, int], *keys: str, mono: bool = False) -> str:
    """What is on the screen after some keys; every row is as wide as the screen."""
    texts = []

    async def story(pilot: Pilot[Any]) -> None:
        await _settle(pilot)
        await pilot.press(*keys)
        await _settle(pilot)
        strips = pilot.app.screen._compositor.render_strips(pilot.app.size)
        assert {cell_len("".join(part.text for part in strip)) for strip in strips} == {size[0]}
        texts.append(screen.text(pilot.app))

    app = GiltraceApp(TraceSource(trace), "some.giltrace", theme="textual-dark", mono=mono)
    screen.drive(app, story, size)
    return texts[0]


async def _settle(pilot: Pilot[Any]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: tuple[int, int]) -> None:
    """From the smallest terminal to a large one: title, lanes, legend, panel and keys are there."""
    text = show(timeline(stories.convoy(10)), size, "down", "x")
    for part in ("some.giltrace", "MainThread", "Thread-1", "holds GIL", "Held meanwhile by"):
        assert part in text
    assert "Thread-1 at load.py:12 in spin" in text
    assert "? help" in text.splitlines()[-1] or size[0] < 80


def test_a_wait_names_each_line_once() -> None:
    """Whose holds it fell on is told by line, whichever expression of it they ended at."""
    holds = " ".join(
        f"hold {t}-{t + 4}ms at a.py:3:{t}-{t + 2} in f check" for t in range(0, 24, 4)
    )
    trace = timeline(f"cpu: {holds}; io: wait 1-24ms hold 24-25ms")
    text = show(trace, (100, 30), "x")
    assert text.count("cpu at a.py:3 in f") == 1 and "100 %" in text


@pytest.mark.parametrize("size", [(59, 40), (100, 19), (10, 3)])
def test_too_small(size: tuple[int, int]) -> None:
    """It says so, and nothing else."""
    text = " ".join(show(timeline(stories.convoy(3)), size).split())
    assert "giltrace" in text
    assert "MainThread" not in text


KINDS = {
    "empty": (stories.EMPTY, "nobody was seen to take the GIL"),
    "without a GIL": (stories.NO_GIL, "nobody was seen to take the GIL"),
    "one thread": (stories.ONE_THREAD, "MainThread"),
    "healthy": (stories.HEALTHY, "worker"),
    "lost events": (stories.LOST, "17 events lost"),
    "unfinished": (stories.UNFINISHED, "the end is missing"),
    "two processes": (stories.TWO_PROCESSES, "process 200"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_captures(kind: str) -> None:
    """Each is shown, says what is wrong with it, and every key does something or says why not."""
    story, said = KINDS[kind]
    texts = []

    async def all_keys(pilot: Pilot[Any]) -> None:
        await _settle(pilot)
        texts.append(screen.text(pilot.app))
        for table in (TIMELINE, PANELS, OTHER):
            for key in (key for keys in table.values() for key in keys):
                if not key.action.startswith("app."):
                    await pilot.app.screen_stack[1].run_action(key.action)
        await _settle(pilot)

    app = GiltraceApp(TraceSource(timeline(story)), "some.giltrace", theme="textual-dark")
    screen.drive(app, all_keys, (100, 30))
    assert said in texts[0]


def test_inferred_captures_say_so() -> None:
    """Above everything and at the group, in words."""
    made = Recording()
    process = made.process()
    process.info = replace(process.info, backend="portable")
    thread = process.thread("main")
    process.acquire(thread, 0, 1)
    process.release(thread, 5 * MS, Spot("a.py", 1))
    text = show(build(made.capture()), (120, 30))
    assert "hand-offs inferred, waits not seen" in text


def test_a_thousand_threads_scroll() -> None:
    """The last one can be reached, with the GIL's lane still on top."""
    lines = [f"t{i}: hold {i}-{i}.5ms" for i in range(1, 1001)]
    text = show(timeline(*lines), (100, 30), "slash", *"t1000", "enter")
    rows = text.splitlines()
    assert any(row.startswith("   GIL") for row in rows)
    assert any("t1000" in row for row in rows)
    assert "1,000 threads" in rows[0]


def test_what_is_selected_is_on_the_screen() -> None:
    """Also if it is in a lane far below, and jumps are among all threads."""
    lines = [f"t{i}: hold {i}-{i}.5ms" for i in range(1, 301)]
    text = show(timeline(*lines, "late: wait 300.2-300.5ms hold 300.5-301ms"), (100, 30), "x")
    rows = text.splitlines()
    assert any(" late " in row and "waits for t300" in row for row in rows)
    assert any(row.startswith("▌  GIL") for row in rows)


@pytest.mark.parametrize("mono", [False, True])
def test_hostile_names(mono: bool) -> None:
    """Threads, files, functions and calls of any name: shown literally, and no row breaks."""
    made = Recording()
    process = made.process()
    at = 0
    for number, name in enumerate(NAMES):
        one = process.thread(name or f"{number}")
        process.acquire(one, at, number + 1)
        process.release(one, at + 2 * MS, Spot(name, 1, name), name=name)
        at += 3 * MS
    trace = build(made.capture())
    text = show(trace, (160, 60), "down", "enter", "2", "3", "4", "slash", mono=mono)
    assert "[red]markup[/red]" in text
    text = show(trace, (160, 60), "slash", *"red", "enter", "1", mono=mono)
    assert "\x1b[31m" not in text


def test_markup_in_panels_is_text() -> None:
    """What looks like textual's markup, or a link, is shown as it is."""
    evil = "[@click=app.quit]x[/][b]"
    made = Recording()
    process = made.process()
    one, other = process.thread(evil), process.thread("waiter")
    process.acquire(one, 0, 1)
    process.wait(other, 1 * MS, 1)
    process.release(one, 9 * MS, Spot(f"{evil}.py", 3, evil), name=evil)
    process.acquire(other, 9 * MS, 2)
    process.release(other, 10 * MS, Spot("b.py", 1))
    for keys in (("x",), ("2",), ("3",), ("4",), ("slash",)):
        assert "[@click" in show(build(made.capture()), (150, 50), *keys)


def test_help_has_all_keys() -> None:
    """The screen is made from the table."""
    text = help_text(TIMELINE, PANELS, OTHER).plain
    for table in (TIMELINE, PANELS, OTHER):
        for keys in table.values():
            assert all(key.does in text for key in keys)


def test_panels_have_ids_of_their_own() -> None:
    """A wide screen has an inspector beside the tabs, and both tell the same."""
    texts: list[list[str]] = []

    async def story(pilot: Pilot[Any]) -> None:
        await pilot.press("x")
        await pilot.pause()
        found = pilot.app.screen.query(Inspector)
        texts.append([str(one.query_one(Static).render()) for one in found])
        assert pilot.app.screen.query_one(Findings).display

    app = GiltraceApp(TraceSource(timeline(stories.convoy(3))), "x", theme="textual-dark")
    screen.drive(app, story, (160, 40))
    assert len(texts[0]) == 2
    assert texts[0][0] == texts[0][1]


# ------------------------------------------------------------------ the command


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of ``giltrace tui``."""
    result = CliRunner().invoke(cli, ["tui", *map(str, arguments)])
    return result.exit_code, result.stderr


def test_a_picture(tmp_path: Path) -> None:
    """An SVG of the size that was asked for, which fetches nothing from anywhere."""
    path = write_capture(tmp_path / "convoy.giltrace", stories.convoy(3))
    out = tmp_path / "out.svg"
    code, said = run(path, "--screenshot", out, "--size", "70x21", "--keys", "down,x,?")
    assert (code, said) == (0, "")
    picture = out.read_text()
    assert picture.startswith("<svg")
    assert "url(http" not in picture.replace('"', "")
    assert run(path, "--screenshot", out)[0] == 1
    assert run(path, "--screenshot", out, "--force")[0] == 0


@pytest.mark.parametrize("size", ["80", "80x", "x24", "80x24x2", "1000x20", "axb"])
def test_a_size_that_is_none(tmp_path: Path, size: str) -> None:
    """Wrong usage, and what a size looks like."""
    code, said = run(tmp_path / "none.giltrace", "--screenshot", "x.svg", "--size", size)
    assert code == 2
    assert "120x40" in said


@pytest.mark.parametrize("name", ["wait.png", "wait", ".svg.pdf"])
def test_a_picture_that_would_be_no_svg(tmp_path: Path, name: str) -> None:
    """A name that promises another format is refused before the capture is read."""
    code, said = run(tmp_path / "none.giltrace", "--screenshot", tmp_path / name)
    assert code == 2 and "the picture is an SVG" in said and name in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["entr", "Enter", "wait:1000", "ctrl+é"])
def test_keys_that_are_none(tmp_path: Path, key: str) -> None:
    """They are not passed over: the picture would show something else than was asked for."""
    words = ["--screenshot", tmp_path / "out.svg", "--keys", f"x,{key},2"]
    code, said = run(tmp_path / "none.giltrace", *words)
    assert code == 1 and f"there is no key '{key}'" in said and "enter, right" in said


def test_keys_without_a_picture(tmp_path: Path) -> None:
    """Nobody presses them in a terminal."""
    code, said = run(tmp_path / "none.giltrace", "--keys", "x")
    assert code == 2 and "--screenshot" in said


def test_no_terminal(tmp_path: Path) -> None:
    """A pipe cannot show a timeline: one line, and what to do instead."""
    path = write_capture(tmp_path / "convoy.giltrace", stories.convoy(3))
    code, said = run(path)
    assert code == 1
    assert "this needs a terminal" in said
    assert "--screenshot" in said


def test_themes() -> None:
    """Ours, the terminal's, textual's; and a name that is none."""
    assert theme_named("dark", asking=False) == "textual-dark"
    assert theme_named("light", asking=False) == "textual-light"
    assert theme_named("nord", asking=False) == "nord"
    with pytest.raises(GiltraceError, match="no theme 'pink'"):
        theme_named("pink", asking=False)


@pytest.mark.parametrize(
    ("colorfgbg", "theme"),
    [
        ("15;0", "textual-dark"),
        ("0;15", "textual-light"),
        ("", "textual-dark"),
        ("x", "textual-dark"),
    ],
)
def test_the_theme_follows_the_terminal(
    monkeypatch: pytest.MonkeyPatch, colorfgbg: str, theme: str
) -> None:
    """As dark or as light as it says it is."""
    monkeypatch.setenv("COLORFGBG", colorfgbg)
    assert theme_named("auto", asking=False) == theme
    own = theme_named("terminal", asking=False)
    assert own in {theme.replace("textual", "ansi"), "textual-ansi"}


@pytest.mark.parametrize(
    ("said", "bright"),
    [
        (b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62;c", True),
        (b"\x1b]11;rgb:1c/1c/1c\x07\x1b[?6c", False),
        (b"\x1b[?6c", False),
        (b"", False),
    ],
)
def test_what_terminals_answer(said: bytes, bright: bool) -> None:
    """Two or four digits a colour, one or the other end; or nothing."""
    assert (_brightness(said) > 0.5) is bright


def test_the_overview_is_clicked() -> None:
    """A click in the two rows above moves the timeline there."""

    async def click(pilot: Pilot[Any]) -> None:
        await _settle(pilot)
        await pilot.press("z", "z", "z")
        await pilot.click(Overview, offset=(98, 0))
        await _settle(pilot)
        timeline_ = pilot.app.screen.query_one(Timeline)
        assert timeline_.view is not None
        assert timeline_.view.viewport.end == timeline_.view.viewport.high

    app = GiltraceApp(TraceSource(timeline(stories.convoy(20))), "x", theme="textual-dark")
    screen.drive(app, click, (100, 30))
