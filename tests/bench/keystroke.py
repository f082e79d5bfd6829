"""From keystroke to echo in a terminal program with a thread that computes: the talk's IDLE."""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import time
import tty
from collections.abc import Iterator

_KEYS = 150
_PAUSE_S = 0.02

# A prompt that shows what is typed, as an editor or a REPL does: read a key, compute what the line
# looks like with it, write that. Several releases of the GIL for each key.
_APP = """
import os, sys, threading, tty
tty.setraw(0)
def compute():
    n = 0
    while True: n += 1
if sys.argv[1] == "busy":
    threading.Thread(target=compute, name="compute", daemon=True).start()
os.write(1, b"ready")
line = ""
while (key := os.read(0, 1)) != b"\\x04":
    line = (line + key.decode())[-60:]
    sys.stdout.write("\\r\\x1b[K> " + "".join(c.upper() for c in line))
    sys.stdout.flush()
    os.write(1, b"\\0")
"""


def run() -> Iterator[tuple[str, str, str]]:
    """Type into the program, alone and beside a thread that computes, under each policy."""
    for name, busy, command in (
        ("alone", "idle", [sys.executable]),
        ("beside a CPU thread", "busy", [sys.executable]),
        ("  giltrace run", "busy", [sys.executable, "-m", "giltrace", "run", sys.executable]),
    ):
        found = sorted(latencies([*command, "-c", _APP, busy]))
        median, worst = statistics.median(found), found[int(0.99 * len(found))]
        yield f"keystroke to echo, {name}, ms", f"{median:.2f} ({worst:.1f})", "median (p99)"


def latencies(command: list[str]) -> list[float]:
    """Milliseconds from each key to the end of what the program writes for it."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with subprocess.Popen(command, stdin=theirs, stdout=theirs):
        os.close(theirs)
        _read_to(ours, b"ready")
        found = []
        for number in range(_KEYS):
            time.sleep(_PAUSE_S)
            start = time.perf_counter()
            os.write(ours, b"%c" % (97 + number % 26))
            _read_to(ours, b"\0")
            found.append(1e3 * (time.perf_counter() - start))
        os.write(ours, b"\x04")
        while _more(ours):
            pass
    os.close(ours)
    return found


def _read_to(fd: int, end: bytes) -> None:
    data = b""
    while not data.endswith(end):
        if not select.select([fd], [], [], 30)[0]:
            raise TimeoutError("the program does not answer")
        data += os.read(fd, 4096)


def _more(fd: int) -> bool:
    try:
        return bool(os.read(fd, 4096))
    except OSError:  # the program has closed its end
        return False
