"""What it costs that the kernel records scheduling, for each time it takes a thread off a CPU."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from giltrace.capture.format import compress
from giltrace.capture.scheduling import ROW_SIZE
from giltrace.record.scheduling import Scheduling

_ROUNDS = 7
_TRIPS = 50_000

# Two processes on one CPU pass a byte to and fro: each trip takes two switches.
_PROGRAM = f"""
import os, time
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
there, back = os.pipe(), os.pipe()
if not os.fork():
    for _ in range({_TRIPS}):
        os.write(back[1], os.read(there[0], 1))
    os._exit(0)
start = time.perf_counter()
for _ in range({_TRIPS}):
    os.write(there[1], b"x")
    os.read(back[0], 1)
print(time.perf_counter() - start)
os.wait()
"""


class _Rows:
    """Takes rows, as a capture would."""

    lasting = True

    def __init__(self) -> None:
        self.count = 0

    def scheduling(self, rows: bytes) -> None:
        self.count += len(rows) // ROW_SIZE
        compress(rows)

    def flush(self) -> None:
        pass


def run() -> Iterator[tuple[str, str, str]]:
    """Rounds with and without in turn; the median of the differences."""
    with Scheduling(asked=True) as tried:
        if tried.refused:
            yield "scheduling: not possible here", tried.refused, ""
            return
    added = []
    rows = _Rows()
    _seconds(_Rows(), asked=False)
    for _ in range(_ROUNDS):
        plain = _seconds(_Rows(), asked=False)
        added.append((_seconds(rows, asked=True) - plain) / (2 * _TRIPS))
    switches = _ROUNDS * 2 * _TRIPS
    yield "a switch, plain", f"{plain / (2 * _TRIPS) * 1e9:,.0f} ns", ""
    yield "a switch, recorded: added", f"{statistics.median(added) * 1e9:,.0f} ns", "<= 2,000 ns"
    yield "a switch, recorded: rows", f"{rows.count / switches:.1f}", ""


def _seconds(rows: _Rows, *, asked: bool) -> float:
    with Scheduling(asked=asked) as scheduling:
        child = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE)
        while child.poll() is None:
            try:
                child.wait(scheduling.poll(rows))  # type: ignore[arg-type]
            except subprocess.TimeoutExpired:
                continue
        scheduling.finish(rows)  # type: ignore[arg-type]
        assert child.stdout is not None
        with child.stdout as said:
            return float(said.read())
