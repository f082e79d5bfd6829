"""One round of stress: the program under a recorder, and what has to be true afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from giltrace.model import Trace
from tests.support.life import whole
from tests.support.python import environment

PROGRAM = str(Path(__file__).parent / "program.py")
CYCLE = 1 + Path(PROGRAM).read_text().splitlines().index("        cycle()")
MODES = ("record", "start and stop")
# A round may take so much longer than it was to last, and memory may grow by so much within it.
SLACK_S = 120.0
GROWTH_BYTES = 8 << 20
SAMPLE_S = 0.25
# The first quarter of a round, which has to be so long for a judgement, fills caches.
WARM_S = 5.0


class StressError(Exception):
    """Something that must always be true was not."""


@dataclass
class Round:
    """What one round came to.

    Attributes:
        processes, holds, lost: totals of its captures.
        captures: how many there were.
        rss: memory of recorder and target, from time to time.
    """

    seed: int
    mode: str
    processes: int = 0
    holds: int = 0
    lost: int = 0
    captures: int = 0
    rss: list[tuple[int, int]] = field(default_factory=list)

    def growth(self) -> tuple[int, int]:
        """By how much recorder and target have grown for certain.

        Both take more at some times than at others. What counts is how far the least that they
        take in the last quarter lies above the most that they took in the second.
        """
        quarter = len(self.rss) // 4
        if quarter * SAMPLE_S < WARM_S:
            return 0, 0
        before, after = self.rss[quarter : 2 * quarter], self.rss[-quarter:]
        recorder, target = (min(r[i] for r in after) - max(r[i] for r in before) for i in (0, 1))
        return max(0, recorder), max(0, target)


def stress(folder: Path, seed: int, seconds: float) -> Round:
    """Run one round: what an even seed makes is recorded, what an odd one makes records itself.

    Raises:
        StressError: an invariant was broken; the message says which.
    """
    mode = MODES[seed % len(MODES)]
    result = Round(seed, mode)
    report, output = folder / "report", folder / "out.giltrace"
    command = [sys.executable, PROGRAM, str(seed), str(seconds), str(report)]
    if mode == "record":
        command = [sys.executable, "-m", "giltrace", "record", "-q", "-o", str(output), *command]
    else:
        command.append(str(folder))
    words = _run(command, folder, seconds + SLACK_S, result)
    if words:
        raise StressError(f"it said:\n{words}")
    if any(grown > GROWTH_BYTES for grown in result.growth()):
        raise StressError(f"memory has grown by (recorder, target) {result.growth()} bytes")
    for capture in folder.glob("*.giltrace"):
        _look_at(capture, result, report if capture == output else None)
    if not result.captures:
        raise StressError("nothing was recorded")
    return result


def _run(command: list[str], folder: Path, limit_s: float, result: Round) -> str:
    """Run to the end; gives everything that was said."""
    words = folder / "words"
    with (
        words.open("wb") as stream,
        subprocess.Popen(
            command, stdout=stream, stderr=stream, env=environment(), start_new_session=True
        ) as process,
    ):
        end = time.monotonic() + limit_s
        while process.poll() is None:
            result.rss += _rss(process.pid, result.mode)
            if time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
                raise StressError(f"it did not end within {limit_s:.0f} s")
            time.sleep(SAMPLE_S)
    text = words.read_text(errors="replace")
    if process.returncode:
        raise StressError(f"exit code {process.returncode}:\n{text}")
    return text


def _rss(pid: int, mode: str) -> Iterator[tuple[int, int]]:
    """Memory of recorder and target; of the target alone where the recorder is one of many."""
    try:
        first = psutil.Process(pid)
        if mode != "record":
            yield 0, _private(first)
        elif children := first.children():
            yield _private(first), _private(children[0])
    except psutil.Error:
        return  # it has just ended


def _private(process: psutil.Process) -> int:
    """Its own memory: without what is shared, as the arenas are."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def _look_at(capture: Path, result: Round, report: Path | None) -> None:
    try:
        trace = whole(capture)
    except AssertionError as error:
        raise StressError(f"{capture.name}: {error}") from None
    result.captures += 1
    result.processes += len(trace.processes)
    result.holds += len(trace.holds)
    result.lost += trace.lost_events
    if report is not None and not trace.lost_events:
        _count(trace, report)


def _count(trace: Trace, report: Path) -> None:
    """Each process went through as many cycles as it says; the rest were drop requests' doing."""
    said: Counter[int] = Counter()
    for line in report.read_text().splitlines():
        pid, count = map(int, line.split())
        said[pid] += count
    pids = np.array([trace.processes[thread.process].pid for thread in trace.threads])
    places = [n for n, p in enumerate(trace.places) if (p.qualname, p.line) == ("counted", CYCLE)]
    seen = Counter(pids[trace.holds.thread[np.isin(trace.holds.place, places)]].tolist())
    asked = Counter(pids[trace.drop_requests.thread].tolist())
    for pid, count in said.items():
        if not count <= seen[pid] <= count + asked[pid]:
            raise StressError(
                f"process {pid} let go {count} times, {seen[pid]} are on record, "
                f"and {asked[pid]} drop requests"
            )
