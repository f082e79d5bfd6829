"""The one line on a terminal that says how the recording goes."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_EVERY_NS = 250_000_000


class StatusLine:
    """Rewrites one line of stderr a few times a second; silent if that is no terminal."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._stream: TextIO | None = sys.stderr
        self._shown = False
        self._next_ns = 0
        self._speaks = enabled
        self._enabled = enabled and self._stream is not None and self._stream.isatty()

    def due(self) -> bool:
        """Whether it is time for `show`."""
        return self._enabled and time.monotonic_ns() >= self._next_ns

    def show(self, elapsed_s: float, events: int, utilisation: float, lost: int, pids: int) -> None:
        """Write the line anew."""
        self._next_ns = time.monotonic_ns() + _EVERY_NS
        text = f"giltrace: {elapsed_s:6.1f} s  {events:,} events  GIL held {utilisation:4.0%}"
        if pids > 1:
            text += f"  {pids} processes"
        if lost:
            text += f"  {lost:,} LOST"
        self._rewrite(text)

    def say(self, text: str) -> None:
        """Write something else in its place."""
        if self._enabled:
            self._rewrite(f"giltrace: {text}")

    def clear(self) -> None:
        """Take the line away, so that other words can be written."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    def _rewrite(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        self._write(f"\r{text[: width - 1]}\x1b[K")
        self._shown = True

    def announce(self, text: str) -> None:
        """Write a line that stays, also where stderr is no terminal."""
        self.clear()
        if self._stream is not None and self._speaks:
            try:
                self._stream.write(f"giltrace: {text}\n")
                self._stream.flush()
            except OSError:
                self._speaks = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._enabled = False  # the terminal has gone; the recording goes on
