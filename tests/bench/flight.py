"""The flight recorder left on: what it costs a program at 50,000 GIL cycles a second.

One recorded run goes on for ``GILTRACE_BENCH_SECONDS`` (60 by default; an hour is 3600), in parts
of equal length. After each few of them the program waits while a twin of its that is not recorded
does one, which is compared with the one before and the one after it: whatever else the machine
does, and however long, is as likely to come to either. A stall now and then makes the recorder
write a capture.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from giltrace.capture import read
from giltrace.model import load

_SECONDS = float(os.environ.get("GILTRACE_BENCH_SECONDS", "60"))
_PART_S = min(2.0, _SECONDS / 100)
_PARTS = 5
# Longer than a busy machine keeps a thread off its CPUs; that is a long hold, too.
_STALL_MS, _TRIGGER_MS = 1000, 800
# A stall after so many times the twin: each three minutes of an hour. No capture falls away.
_STALL_EVERY = 15 if _SECONDS >= 1000 else 4
_RING_S = 5
_KEEP = 5
_DAY_S = 86_400

# At each line of its input it computes for about 20 µs, lets the GIL go, and so on, and says how
# long each cycle took, in seconds of the clock and of the CPU. Then it may stall, and says when.
_PROGRAM = f"""
import ctypes, sys, time
cycle, stall = ctypes.CDLL(None).getppid, ctypes.PyDLL(None).usleep
def cycles(count):
    start, cpu = time.perf_counter(), time.thread_time()
    for _ in range(count):
        for _ in range(2000):
            pass
        cycle()
    return (time.perf_counter() - start) / count, (time.thread_time() - cpu) / count
for line in iter(sys.stdin.readline, ""):
    count, stalls = map(int, line.split())
    spent = cycles(count)
    when = time.monotonic_ns()
    if stalls:
        stall({_STALL_MS * 1000})
    print(*spent, when if stalls else 0, flush=True)
"""


class _Part(NamedTuple):
    """What a program said of a part: seconds of a cycle, and when it stalled; 0: it did not."""

    wall: float
    cpu: float
    stall_ns: int


@dataclass
class _Run:
    """What was seen of the recorded program and of its twin, which takes turns with it.

    Attributes:
        cycles: of each part.
        recorded: parts of the program, as many as it does in one go; one go more than the twin.
        plain: parts of the twin.
    """

    cycles: int
    recorded: list[list[_Part]] = field(default_factory=list)
    plain: list[_Part] = field(default_factory=list)

    def parts(self) -> list[_Part]:
        """All parts of the recorded program."""
        return [part for some in self.recorded for part in some]

    def slow_down(self, what: str) -> list[float]:
        """Of the recorded parts before and after each of the twin's, beside that."""
        turns = zip(self.plain, self.recorded, self.recorded[1:], strict=False)
        return [
            getattr(part, what) / getattr(plain, what)
            for plain, before, after in turns
            for part in (before[-1], after[0])
        ]


class _Program:
    """The program, asked for one part after the other."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def part(self, count: int, *, stalls: bool = False) -> _Part:
        """So many cycles."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{count} {stalls:d}\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said, "the program has ended"
        wall, cpu, when = said.split()
        return _Part(float(wall), float(cpu), int(when))

    def end(self) -> None:
        """No more of them."""
        self.process.communicate()
        assert self.process.returncode == 0


class _Watch(threading.Thread):
    """Looks at the recorder and its files a few times a second.

    Attributes:
        rss: the recorder's memory, bytes, each time.
        disk: the most that its files took together.
        cpu_s: the CPU time it has used meanwhile.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._folder = folder
        self._over = threading.Event()
        self.rss: list[int] = []
        self.disk = 0
        self.cpu_s = 0.0
        self._before_s = self._used()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(0.25):
            self.rss.append(self._process.memory_info().rss)
            self.cpu_s = self._used() - self._before_s
            self.disk = max(self.disk, sum(map(_size, self._folder.glob("*.giltrace"))))

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def tenths(self) -> str:
        """The most memory in each tenth of the run, MB."""
        parts = [part for part in np.array_split(self.rss, 10) if len(part)]
        return " ".join(f"{int(part.max()) / 1e6:.0f}" for part in parts)


def run() -> Iterator[tuple[str, str, str]]:
    """One recorded run beside its twin; medians of the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, watch = _measure(folder)
        captures = sorted(folder.glob("*.giltrace"), key=_number)
        assert captures, "nothing was captured"
        sound = sum(_is_sound(path, run) for path in captures)
        each, second = _sizes(captures[-1])
        written = _number(captures[-1])
    rate = 1 / statistics.median(part.wall for part in run.parts())
    yield f"flight recorder at {rate:,.0f} cycles/s, slow-down", *_ratio(run.slow_down("wall"))
    yield "  its quartiles", _quartiles(run.slow_down("wall")), ""
    yield "  the same in CPU time of the program", *_ratio(run.slow_down("cpu"))
    yield "  its quartiles", _quartiles(run.slow_down("cpu")), ""
    yield "  pairs of a recorded part and one that is not", str(len(run.slow_down("wall"))), ""
    yield "  recorder's memory, most in each tenth of the run, MB", watch.tenths(), "no more"
    yield "  captures on disk at any time, MB", f"{watch.disk / 1e6:.1f}", ""
    yield "  bytes of an event in a capture, which is what it takes in memory", f"{each:.1f}", ""
    yield "  MB of a second", f"{second / 1e6:.2f}", ""
    share = watch.cpu_s / sum(part.wall * run.cycles for part in run.parts())
    yield "  recorder's CPU time, share of a core while it records", f"{share:.1%}", ""
    yield "  that is in a day, minutes", f"{share * _DAY_S / 60:.0f}", ""
    yield "  captures written", str(written), ""
    yield "  kept ones, complete and with the stall", f"{sound} of {len(captures)}", "all"
    assert sound == len(captures)


def _measure(folder: Path) -> tuple[_Run, _Watch]:
    plain = [sys.executable, "-c", _PROGRAM]
    cool_down = _STALL_EVERY * _PARTS * _PART_S / 2
    options = ("--ring", f"{_RING_S}", "--trigger", f"hold>{_TRIGGER_MS}ms")
    keep = ("--cool-down", f"{cool_down:.0f}", "--keep", f"{_KEEP}", "-q")
    output = ("-o", str(folder / "out.giltrace"))
    record = [sys.executable, "-m", "giltrace", "record", *options, *keep, *output]
    twin, recorded = _Program(plain), _Program([*record, *plain[1:]])
    recorded.part(10_000)  # now both have started
    run = _Run(round(_PART_S / twin.part(10_000).wall))
    run.recorded.append([recorded.part(run.cycles)])
    watch = _Watch(recorded.process.pid, folder)
    watch.start()
    said = time.monotonic()
    end = said + _SECONDS
    while time.monotonic() < end:
        run.plain.append(twin.part(run.cycles))
        stalled = 1 if len(run.plain) % _STALL_EVERY == 0 else _PARTS
        run.recorded.append(
            [recorded.part(run.cycles, stalls=number == stalled) for number in range(_PARTS)]
        )
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{end - said:,.0f} s to go; {_so_far(run, watch)}", file=sys.stderr, flush=True)
    watch.stop()
    recorded.end()
    twin.end()
    return run, watch


def _so_far(run: _Run, watch: _Watch) -> str:
    wall, cpu = (statistics.median(run.slow_down(what)) for what in ("wall", "cpu"))
    return f"slow-down {wall:.3f}, in CPU time {cpu:.3f}; memory {watch.rss[-1] / 1e6:.0f} MB"


def _ratio(ratios: list[float]) -> tuple[str, str]:
    return f"{statistics.median(ratios):.3f}", "<= 1.02"


def _quartiles(ratios: list[float]) -> str:
    low, _, high = statistics.quantiles(ratios)
    return f"{low:.3f} to {high:.3f}"


def _is_sound(path: Path, run: _Run) -> bool:
    """Whether nothing is missing in a capture, and its longest hold is one of the stalls."""
    trace = load(path)
    longest = int(trace.holds.ns.argmax())
    start, end = int(trace.holds.start[longest]), int(trace.holds.end[longest])
    stalled = any(start <= part.stall_ns <= end for part in run.parts())
    complete = not trace.lost_events and not any("not on record" in note for note in trace.notes)
    if not (stalled and complete):
        took = f"longest hold {(end - start) / 1e6:.0f} ms"
        print(f"{path.name}: {took}; {' '.join(trace.notes)}", file=sys.stderr)
    return stalled and complete


def _sizes(path: Path) -> tuple[float, float]:
    """Bytes for each event, and for each second, in a capture."""
    capture, size = read(path), path.stat().st_size
    assert capture.end is not None
    kept_s = (capture.end.ts_ns - min(info.start_ns for info in capture.processes)) / 1e9
    return size / sum(map(len, capture.events.values())), size / kept_s


def _number(path: Path) -> int:
    """Which of the captures it is: out-7.giltrace."""
    return int(path.stem.rpartition("-")[2])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # an older one that had to make room
        return 0
