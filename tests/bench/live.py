"""A live view of a program that makes very many events: does it keep up, and does it answer?"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from giltrace.capture import read
from tests.support.terminal import TMUX, Pane, pane

# Lets the GIL go and takes it back, two events each time, as often as it is told to.
_PROGRAM = """
import ctypes, sys, time
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
cycle = ctypes.CDLL(None).getppid
done, start = 0, time.monotonic()
while (now := time.monotonic()) < start + seconds:
    for _ in range(min(2000, int((now - start) * rate / 2) - done)):
        cycle()
        done += 1
"""
_PRESSES = 20


@dataclass(frozen=True)
class Kept:
    """How a view did.

    Attributes:
        events: in the capture.
        lost: for how many there was no room.
        rate: how many came in a second.
        memory: the most that the view took, in MiB.
        answers: how long the screen took to show what a key asked for, in seconds.
        share: of a core that the view took.
    """

    events: int
    lost: int
    rate: float
    memory: float
    answers: list[float]
    share: float


def watch(folder: Path, rate: int, seconds: float) -> Kept:
    """Look at a program that makes ``rate`` events a second."""
    (folder / "program.py").write_text(_PROGRAM)
    words = [sys.executable, "-m", "giltrace", "live", "-o", "out.giltrace", "program.py"]
    memory, answers = 0.0, []
    with pane([*words, str(rate), str(seconds)], folder) as screen:
        screen.until("blame, last")
        view = _view(folder)
        started = time.monotonic()
        cpu = sum(view.cpu_times()[:2])
        while time.monotonic() < started + seconds - 2:
            answers += [_answer(screen, "?", shown=True), _answer(screen, "?", shown=False)]
            memory = max(memory, view.memory_info().rss / (1 << 20))
            time.sleep(min(1.0, seconds / _PRESSES))
        spent = (sum(view.cpu_times()[:2]) - cpu) / (time.monotonic() - started)
        screen.until(lambda text: " ended " in text)
        screen.press("q")
        screen.until("EXIT 0")
    capture = read(folder / "out.giltrace")
    events = sum(len(some) for some in capture.events.values())
    lost = sum(end.lost_events for end in capture.process_ends)
    return Kept(events, lost, events / seconds, memory, answers, spent)


def _answer(screen: Pane, key: str, *, shown: bool) -> float:
    """Press a key and wait for what it does."""
    start = time.monotonic()
    screen.press(key)
    screen.until(lambda text: ("While it runs" in text) == shown)
    return time.monotonic() - start


def _view(folder: Path) -> psutil.Process:
    """The process that draws, which stands in that folder."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        is_view = process.info["name"].startswith("python") and words[2:4] == ["giltrace", "live"]
        if is_view and process.cwd() == str(folder):
            return process
    raise LookupError("there is no view")


def run() -> Iterator[tuple[str, str, str]]:
    """A minute at 200,000 events a second."""
    if TMUX is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = watch(Path(folder), 200_000, 60)
    name = "live at 200,000 events/s for 60 s"
    yield f"{name}: events in the capture", f"{kept.events:,} ({kept.rate:,.0f}/s)", ""
    yield f"{name}: lost", f"{kept.lost:,}", "0"
    yield f"{name}: memory of the view", f"{kept.memory:.0f} MiB", ""
    yield f"{name}: CPU of the view", f"{kept.share:.0%} of a core", ""
    middle, most = statistics.median(kept.answers), max(kept.answers)
    yield f"{name}: answer to a key", f"{middle * 1e3:.0f} ms (most {most * 1e3:.0f} ms)", ""
