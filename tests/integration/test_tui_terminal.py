"""The terminal UI in a real terminal: tmux, and what it shows there."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import stories
from tests.support.timeline import write_capture

pytest.importorskip("textual")
pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

_PATIENCE_S = 60.0
_SAMPLE = Path(__file__).parents[2] / "sample_runs" / "blocking-1-spin.giltrace"


class Terminal:
    """A terminal of tmux, in a server of its own."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._socket = str(folder / f"tmux-{secrets.token_hex(4)}")
        self._size = ("-x", str(columns), "-y", str(rows))

    def start(self, *command: str, **environment: str) -> None:
        """Run a command in it; it stays when the command has ended."""
        settings = [f"{name}={value}" for name, value in environment.items()]
        shell = ["sh", "-c", '"$@"; echo "exit code $?"; cat', "sh", "env", *settings, *command]
        self._tmux("-f", os.devnull, "new-session", "-d", *self._size, *shell)

    def press(self, *keys: str) -> None:
        """Keys as tmux calls them."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def wait_for(self, *texts: str) -> str:
        """Wait until all of these are on the screen."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            screen = self.screen()
            missing = [text for text in texts if text not in screen]
            if not missing:
                return screen
            assert time.monotonic() < end, f"{missing} did not appear on:\n{screen}"
            time.sleep(0.05)

    def close(self) -> None:
        """End whatever runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of a usual size."""
    made = Terminal(tmp_path, 100, 30)
    yield made
    made.close()


def tui(*arguments: object) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "giltrace", "tui", *map(str, arguments)]


@pytest.mark.repo
def test_a_wait_names_its_holder_and_line(terminal: Terminal) -> None:
    """In a sample run the longest wait of the server is the spinning thread's fault."""
    terminal.start(*tui(_SAMPLE))
    terminal.wait_for("blocking-1-spin.giltrace", "MainThread", "cpu-1", "holds GIL")
    terminal.press("Down")
    terminal.press("x")
    terminal.wait_for(
        "MainThread waited for the GIL for 10.3 ms",
        "Held meanwhile by",
        "98 %  cpu-1 at load.py:88 in spin",
        "88     while True:",
    )
    terminal.press("a")
    terminal.wait_for("client-watch held the GIL for 50.5 µs", "Kept waiting")
    terminal.press("b")
    terminal.wait_for("MainThread waited for the GIL for 10.3 ms")
    terminal.press("2")
    terminal.wait_for("Convoy: MainThread lost 3.8 s", "What happened")
    terminal.press("Escape")
    terminal.press("?")
    terminal.wait_for("zoom in around the cursor")
    terminal.press("q")
    terminal.press("q")
    terminal.wait_for("exit code 0")


def test_it_follows_the_size_of_the_terminal(terminal: Terminal, tmp_path: Path) -> None:
    """Too small it says so, and with room again it is as it was."""
    path = write_capture(tmp_path / "convoy.giltrace", stories.convoy(10))
    terminal.start(*tui(path))
    terminal.wait_for("MainThread", "holds GIL")
    terminal.resize(50, 15)
    terminal.wait_for("giltrace needs 60 × 20 characters", "50 × 15")
    terminal.resize(200, 50)
    terminal.wait_for("MainThread", "Nothing is selected", "2 Findings")
    terminal.press("q")
    terminal.wait_for("exit code 0")


def test_without_colours(terminal: Terminal, tmp_path: Path) -> None:
    """NO_COLOR shows states as characters."""
    path = write_capture(tmp_path / "convoy.giltrace", stories.convoy(3))
    terminal.start(*tui(path), NO_COLOR="1")
    terminal.wait_for("XXXX", "X waits", "A MainThread", "BBBB")
    terminal.press("q")
    terminal.wait_for("exit code 0")


def test_a_terminal_without_a_cursor_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    """One line that says what to do instead."""
    path = write_capture(tmp_path / "convoy.giltrace", stories.convoy(3))
    terminal.start(*tui(path), TERM="dumb")
    terminal.wait_for("giltrace: this terminal cannot move its cursor", "exit code 1")
