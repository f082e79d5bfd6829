"""Opening files in a session's folder, which belongs to whoever is recorded.

Root may record another user's process. That user can put anything there: a link to a file of
root's, a pipe that never says anything, a name without a number, a file without an end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_MOST: Final = 1 << 16


def open_regular(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a regular file that no link led to.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PermissionError(f"{os.fspath(path)} is not a regular file")
    return fd


def read_text(path: Path) -> str:
    """What stands in a small file, 64 KiB of it at most.

    Raises:
        OSError: see `open_regular`.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read(_MOST).decode("utf-8", "replace")


def number(name: str, at: int) -> int:
    """The number between the dots of a file name at that place; 0 if there is none."""
    words = name.split(".")
    word = words[at] if at < len(words) else ""
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else 0
