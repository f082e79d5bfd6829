"""What a recorder has left in its session's folder for the processes that join.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import os

_FILE = "options"


def read(session: str) -> dict[str, int]:
    """The options in a session's folder.

    Raises:
        OSError, ValueError: there are none, or something else.
    """
    with open(os.path.join(session, _FILE), encoding="ascii") as lines:
        return {key: int(value) for key, value in (line.split() for line in lines)}


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
