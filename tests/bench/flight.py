"""The flight recorder left on: what it costs a program at 50,000 GIL cycles a second.

``GILTRACE_BENCH_SECONDS`` sets for how long each of the recorded runs goes on (10 by default); the
figures of memory are those of the last one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from giltrace.capture import read

_SECONDS = float(os.environ.get("GILTRACE_BENCH_SECONDS", "10"))
_ROUNDS = 5
_RING_S = 5
_DAY_S = 86_400

# Computes for about 20 µs, lets the GIL go, and so on, and says in the end how long that took. Now
# and then there is a stall, so that there is something to capture.
_PROGRAM = """
import ctypes, sys, time
cycle, stall = ctypes.CDLL(None).getppid, ctypes.PyDLL(None).usleep
def cycles(n):
    start, cpu = time.perf_counter(), time.thread_time()
    for _ in range(n):
        for _ in range(2000):
            pass
        cycle()
    return time.perf_counter() - start, time.thread_time() - cpu
n = int(50_000 * float(sys.argv[1]))
spent = [0, 0]
for part in range(10):
    spent = list(map(sum, zip(spent, cycles(n // 10))))
    stall(60_000)
print(n / spent[0], *spent)
"""


def run() -> Iterator[tuple[str, str, str]]:
    """Alternate plain and recorded runs; median of the ratios."""
    walls: list[float] = []
    cpus: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = [sys.executable, "-c", _PROGRAM, str(_SECONDS)]
        options = ("--ring", str(_RING_S), "--trigger", "hold>50ms", "--cool-down", "3")
        keep = ("--keep", "2", "-q", "-o", str(folder / "out.giltrace"))
        recorded = [sys.executable, "-m", "giltrace", "record", *options, *keep, *plain[1:]]
        for _ in range(_ROUNDS):
            (rate, wall, cpu), _ = _measure(plain, folder)
            (_, wall_with, cpu_with), watched = _measure(recorded, folder)
            walls.append(wall_with / wall)
            cpus.append(cpu_with / cpu)
        each, second = _sizes(folder)
    rss = watched.rss
    yield (
        f"flight recorder at {rate:,.0f} cycles/s, slow-down",
        f"{statistics.median(walls):.3f}",
        "<= 1.02",
    )
    yield "  the same in CPU time of the program", f"{statistics.median(cpus):.3f}", "<= 1.02"
    early, late = rss[len(rss) // 3 : 2 * len(rss) // 3], rss[2 * len(rss) // 3 :]
    yield "  recorder's memory, second third of a run, MB", f"{max(early) / 1e6:.0f}", ""
    yield "  recorder's memory, last third, MB", f"{max(late) / 1e6:.0f}", "no more"
    yield "  captures on disk at any time, MB", f"{watched.disk / 1e6:.1f}", ""
    yield "  bytes of an event in a capture, which is what it takes in memory", f"{each:.1f}", ""
    yield "  MB of a second", f"{second / 1e6:.2f}", ""
    yield "  recorder's CPU time, share of a core", f"{watched.cpu_share():.1%}", ""
    yield "  that is in a day, minutes", f"{watched.cpu_share() * _DAY_S / 60:.0f}", ""


def _sizes(folder: Path) -> tuple[float, float]:
    """Bytes for each event, and for each second, in the latest capture."""
    path = max(folder.glob("*.giltrace"), key=lambda one: one.stat().st_mtime)
    capture, size = read(path), path.stat().st_size
    assert capture.end is not None
    kept_s = (capture.end.ts_ns - min(info.start_ns for info in capture.processes)) / 1e9
    return size / sum(map(len, capture.events.values())), size / kept_s


class _Watched:
    """What was seen of a process while it ran."""

    def __init__(self) -> None:
        self.rss: list[int] = []
        self.disk = 0
        self.cpu: list[tuple[float, float]] = []  # when, and how much

    def cpu_share(self) -> float:
        """What it took after its start, when it is busy with itself."""
        (since, before), (until, after) = self.cpu[len(self.cpu) // 3], self.cpu[-1]
        return (after - before) / (until - since)


def _measure(command: list[str], folder: Path) -> tuple[list[float], _Watched]:
    """The program's own rate, time and CPU time, and what its parent, the recorder, has taken."""
    watched = _Watched()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        recorder = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                watched.rss.append(recorder.memory_info().rss)
                times = recorder.cpu_times()
                watched.cpu.append((time.monotonic(), times.user + times.system))
            except psutil.Error:
                break
            files = (path.stat().st_size for path in folder.glob("*.giltrace"))
            watched.disk = max(watched.disk, sum(files))
            try:
                process.wait(0.25)
            except subprocess.TimeoutExpired:
                pass
        assert process.returncode == 0
        assert process.stdout is not None
        said = [float(word) for word in process.stdout.read().split()]
    return said, watched
