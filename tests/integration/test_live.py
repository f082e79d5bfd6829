"""`giltrace live` in a real terminal, on real programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from giltrace.analysis.timeline.state import State
from giltrace.model import load
from giltrace.model.invariants import check
from giltrace.record.live import Watched, start
from giltrace.record.policy import Policy
from giltrace.record.settings import Settings
from giltrace.tui.live.app import LiveApp
from giltrace.tui.live.screen import LiveScreen
from giltrace.tui.source import Lane
from tests.bench.live import watch
from tests.support.attached import MAINS, UNTOUCHED, attached, in_place, running
from tests.support.python import environment
from tests.support.recorder import command as record_command
from tests.support.screen import drive, text
from tests.support.terminal import TMUX, Pane, in_terminal, pane

LIVE = [sys.executable, "-m", "giltrace", "live"]
needs_tmux = pytest.mark.skipif(TMUX is None, reason="there is no tmux here")

# Two threads that take turns at the GIL, and a third that wants it for moments.
BUSY = """
import sys, threading, time
stop = threading.Event()
def burn():
    while not stop.is_set():
        sum(range(2000))
def ask():
    while not stop.wait(0.003):
        pass
threading.Thread(target=burn, name="burner").start()
threading.Thread(target=ask, name="asker").start()
print("ready", flush=True)
sys.stdin.readline()
stop.set()
print("done", flush=True)
"""


def waits_named(screen: str) -> bool:
    """Whether the screen says on whom the waits fell."""
    return re.search(r"%\s+\S+ m?s\s+burner at \S+ in burn", screen) is not None


def look_around(screen: Pane) -> None:
    """Pause, find a wait of the asker, mark twice, and read what the screen says of it."""
    screen.press("Space")
    screen.until("all that is kept can be looked at")
    lanes = screen.text()
    screen.press(*["Down"] * (1 + _lane(lanes, "asker")))
    screen.press("W")
    found = screen.until(lambda text: "asker waited for the GIL" in text)
    assert re.search(r"Held meanwhile by\s+\S+ m?s\s+\S+ %\s+burner at \S+ in burn", found)
    screen.press("m", "Left", "m")
    screen.until("between the marks")
    screen.press("?")
    screen.until("While it runs")
    screen.press("?")
    screen.until(lambda text: "While it runs" not in text)


def _lane(screen: str, name: str) -> int:
    """How many lanes are above a thread's in the timeline."""
    lanes = re.findall(r"■ (\w+)", screen)
    return lanes.index(name)


@needs_tmux
def test_a_program_is_started_looked_at_and_left(tmp_path: Path) -> None:
    """It goes on when the view is left, with nothing in it, and its output is where it was said."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY.replace("sys.stdin.readline()", _wait_for(tmp_path / "flag")))
    words = [*LIVE, "--log", "out.log", "-o", "all.giltrace", str(script)]
    with pane(words, tmp_path) as screen:
        screen.until(waits_named)
        assert "its output: out.log" in screen.text()
        look_around(screen)
        screen.press("C-s")
        saved = re.search(r"saved: the last .* s: (\S+\.giltrace)", screen.until("saved: the"))
        screen.press("Space")
        screen.until(" live  ")
        screen.press("q")
        left = screen.until("EXIT")
        assert "EXIT 0" in left and "The program goes on. Its output: out.log" in left
    assert (tmp_path / "out.log").read_text() == "ready\n"
    (tmp_path / "flag").touch()
    _until_lines(tmp_path / "out.log", 2)
    state = json.loads((tmp_path / "out.log").read_text().splitlines()[1])
    assert in_place(state) == []
    assert saved is not None
    for name in (saved[1], "all.giltrace"):
        trace = load(tmp_path / name)
        assert check(trace) == [] and trace.lost_events == 0
        assert {"burner", "asker"} <= {thread.name for thread in trace.threads}


def _wait_for(flag: Path) -> str:
    return (
        f"import os, json\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\n"
        "from giltrace import _core\nprint(json.dumps(_core.state()), flush=True)"
    )


def _until_lines(path: Path, lines: int) -> None:
    while len(path.read_text().splitlines()) < lines:
        pass


@pytest.mark.parametrize(
    ("code", "kept", "goes_on"),
    [
        ("pass", False, False),
        ("print('hello')", True, False),
        # Its child has the file, and may have something to say one day.
        ("import subprocess; subprocess.Popen(['sleep', '60'])", True, True),
    ],
)
def test_a_log_that_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kept: bool, goes_on: bool
) -> None:
    """It goes with the view if the program has said nothing, and nobody is left who could."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    watched = start(("-c", code), Settings(), Policy(), None, None, force=False)
    log = watched.log
    assert log is not None
    path = log.path
    try:
        while not watched.ended:
            time.sleep(0.01)
        assert path.parent == tmp_path and path.exists()
        assert watched.leave() == []
        assert [*tmp_path.iterdir()] == ([path] if kept else [])
        assert (watched.log is log) is kept and log.in_use() is goes_on
    finally:
        watched.leave()
        for pid in writers(path):
            os.kill(pid, signal.SIGKILL)


def writers(path: Path) -> list[int]:
    """The processes whose standard output is a file."""
    found = []
    for one in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if os.readlink(one) == str(path):
                found.append(int(one.parts[2]))
    return found


@needs_tmux
def test_a_process_is_attached_to_and_left(tmp_path: Path) -> None:
    """A process that nobody records is attached to, and left as it was found."""
    with running(tmp_path, MAINS["sleeps"]) as target:
        with pane([*LIVE, str(target.pid)], tmp_path) as screen:
            screen.until(lambda text: "worker" in text and "waits" in text)
            screen.press("q")
            assert "EXIT 0" in screen.until("EXIT")
        assert target.end() == UNTOUCHED


@needs_tmux
def test_a_recording_under_way_is_joined(tmp_path: Path) -> None:
    """One more reader of its capture: the recording goes on, and is whole in the end."""
    output = tmp_path / "out.giltrace"
    with subprocess.Popen(
        record_command(output, "-c", BUSY),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as recorder:
        assert recorder.stdin is not None and recorder.stdout is not None
        assert recorder.stdout.readline() == "ready\n"
        with pane([*LIVE, str(recorder.pid)], tmp_path) as screen:
            screen.until(waits_named)
            assert f"recorder {recorder.pid}" in screen.text()
            screen.press("q")
            assert "EXIT 0" in screen.until("EXIT")
        assert recorder.communicate("\n", timeout=60)[0] == "done\n"
        assert recorder.returncode == 0
    trace = load(output)
    assert check(trace) == [] and trace.loss.ended


@needs_tmux
@pytest.mark.slow
def test_very_many_events(tmp_path: Path) -> None:
    """At 200,000 events a second nothing is lost, memory is bounded, and keys are answered."""
    kept = watch(tmp_path, 200_000, 6)
    assert kept.lost == 0 and kept.events > 200_000
    assert kept.memory < 600 and len(kept.answers) >= 2


def test_without_a_terminal() -> None:
    """There is nothing to draw on, and the commands that need none are named."""
    done = subprocess.run(
        [*LIVE, "1"], capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "a live view needs a terminal" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "columns", "expected"),
    [
        (["no-such-script.py"], 100, "there is no script no-such-script.py"),
        (["2147483000"], 100, "there is no process 2147483000"),
        (["-c", "pass"], 40, "the terminal is too small: 40×30"),
        (["--log", os.devnull, "-c", "pass"], 100, f"{os.devnull} exists"),
    ],
)
def test_what_cannot_be_looked_at(words: list[str], columns: int, expected: str) -> None:
    """One line says so, before the screen is taken."""
    code, written = in_terminal([*LIVE, *words], columns=columns)
    assert code == 1
    assert expected in written and "Traceback" not in written and "\x1b[?1049h" not in written


def test_a_process_that_is_no_python() -> None:
    """It is said before the screen is taken."""
    with subprocess.Popen(["sleep", "60"]) as process:
        code, written = in_terminal([*LIVE, str(process.pid)])
        process.kill()
    assert code == 1 and "is not a Python" in written and "\x1b[?1049h" not in written


async def _until(pilot: Pilot[Any], holds: Callable[[], object]) -> None:
    while not holds():
        await pilot.pause(0.02)


def look_through(recorder: int, capture: Path, steps: Callable[[Pilot[Any]], Any]) -> None:
    """A live view of a recording that is under way, in this process."""
    watched = Watched(capture, "target.py", others=recorder)
    app = LiveApp(watched, theme="textual-dark", seconds=60)
    try:
        drive(app, steps, (100, 30))
    finally:
        app.end()


def test_priorities_are_seen_and_changed(tmp_path: Path) -> None:
    """+ and - reach the thread of the lane, and the lane tells when it has the new priority."""
    output = tmp_path / "out.giltrace"

    async def steps(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, LiveApp)
        shown = pilot.app.view

        def lanes() -> dict[str, Lane]:
            return {lane.label: lane for lane in shown.timeline.source.lanes}

        await _until(pilot, lambda: {"worker", "MainThread"} <= set(lanes()))
        assert lanes()["worker"].note == lanes()["MainThread"].note == "0"
        # It sleeps most of the time: off the GIL in that call, not unheard of.
        await _until(pilot, lambda: _now(shown, lanes()["MainThread"]) is State.SLEEP)
        await pilot.press("plus")
        assert "go to a thread first" in text(pilot.app)
        await pilot.press(*["down"] * lanes()["worker"].index)
        await pilot.press("minus", "minus", "minus", "plus")
        await _until(pilot, lambda: "worker: priority -2" in text(pilot.app))
        await _until(pilot, lambda: lanes()["worker"].note == "-2")
        assert lanes()["MainThread"].note == "0"
        await pilot.press("plus")
        await _until(pilot, lambda: lanes()["worker"].note == "-1")

    with running(tmp_path, MAINS["sleeps"]) as target:
        with attached(target.pid, output, "--policy", "auto") as recorder:
            look_through(recorder.pid, output, steps)
        assert target.end() == UNTOUCHED
    assert load(output).priorities.priority[-1] == -1


def _now(shown: LiveScreen, lane: Lane) -> State | None:
    source = shown.timeline.source
    found = source.at(lane.index, source.end_ns - 1)
    return found.state if found is not None else None


def test_without_a_policy_the_keys_say_how_to_get_one(tmp_path: Path) -> None:
    """In one line; nothing is changed."""
    output = tmp_path / "out.giltrace"

    async def steps(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, LiveApp)
        shown = pilot.app.view
        await _until(pilot, lambda: len(shown.timeline.source.lanes) > 1)
        await pilot.press("down", "minus")
        await _until(pilot, lambda: pilot.app._notifications)
        (said,) = pilot.app._notifications
        assert "follows no policy" in said.message
        assert "giltrace live --policy auto" in said.message

    with running(tmp_path, MAINS["sleeps"]) as target:
        with attached(target.pid, output) as recorder:
            look_through(recorder.pid, output, steps)
        assert target.end() == UNTOUCHED
    assert len(load(output).priorities) == 0


@needs_tmux
def test_a_policy_comes_and_goes_with_the_view(tmp_path: Path) -> None:
    """A program that is started under one, and one that ran already, go on without it."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY.replace("sys.stdin.readline()", _wait_for(tmp_path / "flag")))
    words = [*LIVE, "--log", "out.log", "--priority", "burn*=-3", str(script)]
    with pane(words, tmp_path) as screen:
        screen.until(lambda text: re.search(r"burner +-3", text) is not None)
        screen.press("q")
        assert "EXIT 0" in screen.until("EXIT")
    (tmp_path / "flag").touch()
    _until_lines(tmp_path / "out.log", 2)
    assert in_place(json.loads((tmp_path / "out.log").read_text().splitlines()[1])) == []
