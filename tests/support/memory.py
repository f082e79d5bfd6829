"""How much memory a process has taken."""

from __future__ import annotations

import re
from pathlib import Path


def peak_bytes() -> int:
    """The most that this process has had in memory, since it became the program that it is.

    What getrusage() tells begins with the memory of the process that started this one.
    """
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
