"""Programs in a real terminal: under tmux, whose pane can be read, or on a bare one."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.python import environment

TMUX = shutil.which("tmux")


class Pane:
    """A program in a pane of tmux."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def text(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them."""
        self._tmux("send-keys", *keys)

    def until(self, seen: Callable[[str], bool] | str, seconds: float = 60) -> str:
        """The screen, once it shows something."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text()
            if seen in text if isinstance(seen, str) else seen(text):
                return text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)

    def _tmux(self, *words: str) -> str:
        return subprocess.run(
            ["tmux", "-S", str(self._socket), *words], capture_output=True, text=True, check=True
        ).stdout


@contextmanager
def pane(
    command: Sequence[str], cwd: Path, *, columns: int = 110, lines: int = 34
) -> Iterator[Pane]:
    """Run a command in a pane; it stays after the command's end, which shows as ``EXIT code``."""
    socket = cwd / "tmux"
    line = f"{shlex.join(command)}; echo EXIT $?; exec cat"
    size = ["-x", str(columns), "-y", str(lines)]
    subprocess.run(
        ["tmux", "-S", str(socket), "-f", os.devnull, "new-session", "-d", *size, line],
        cwd=cwd,
        env=environment({"TERM": "screen-256color", "SHELL": "/bin/sh"}),
        check=True,
    )
    try:
        yield Pane(socket)
    finally:
        subprocess.run(["tmux", "-S", str(socket), "kill-server"], check=False)


def in_terminal(command: Sequence[str], *, columns: int = 100, lines: int = 30) -> tuple[int, str]:
    """Run a command on a terminal to its end; gives its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), close_fds=True
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while block := os.read(ours, 4096):
                written += block
        except OSError:
            pass  # the other end has been closed
        process.wait(60)
    os.close(ours)
    return process.returncode, written.decode(errors="replace")
