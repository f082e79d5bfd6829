"""Asking the terminal whether it is dark or light."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from typing import Final

_QUESTION: Final = b"\x1b]11;?\x1b\\\x1b[c"
"""What is your background colour? And what are you? The second one is answered by every terminal,
and in turn: with that answer there will be none to the first."""
_COLOUR: Final = re.compile(rb"\x1b\]11;rgb:([0-9a-f]+)/([0-9a-f]+)/([0-9a-f]+)", re.IGNORECASE)
_DONE: Final = re.compile(rb"\x1b\[\?[0-9;]*c")
_PATIENCE: Final = 0.3
"""Seconds: a slow connection answers later, but then nobody waits for it any more."""


def is_light(*, asking: bool) -> bool:
    """Whether the terminal has a light background; dark if there is no telling.

    Args:
        asking: ask the terminal, which has to be on stdin and stdout; otherwise only
            COLORFGBG tells.
    """
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    if background.isdecimal():
        return int(background) in {7, *range(9, 16)}
    return _brightness(_answer()) > 0.5 if asking else False


def _answer() -> bytes:
    """What the terminal says to the question."""
    try:
        source, sink = sys.stdin.fileno(), sys.stdout.fileno()
        before = termios.tcgetattr(source)
    except (OSError, ValueError, termios.error):
        return b""
    said = b""
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(sink, _QUESTION)
        end = time.monotonic() + _PATIENCE
        while not _DONE.search(said) and (left := end - time.monotonic()) > 0:
            if select.select([source], [], [], left)[0]:
                said += os.read(source, 256)
    except OSError:
        pass
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)
    return said


def _brightness(said: bytes) -> float:
    """0 for black to 1 for white; 0 if it was not said."""
    found = _COLOUR.search(said)
    if found is None:
        return 0.0
    red, green, blue = (int(part, 16) / int("f" * len(part), 16) for part in found.groups())
    return 0.299 * red + 0.587 * green + 0.114 * blue
