"""How long, and in how much memory, a trace is built, summarised and blamed.

Run it as ``python -m tests.bench.model [EVENTS] [THREADS]``. Peak memory is that of the process,
which the input columns and numpy itself (about 30 MB) are part of.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from giltrace.analysis.blame import table, worst_waits
from giltrace.analysis.summary import summarise
from giltrace.model.builder import build
from giltrace.model.invariants import check
from tests.support.synthetic import synthetic

T = TypeVar("T")


def resident_mb(field: str = "VmRSS") -> float:
    """Resident memory of this process, now (VmRSS) or at most (VmHWM), in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    raise OSError(f"no {field}")


def measured(name: str, function: Callable[[], T]) -> T:
    """Call a function and print its time, and memory at its end and at most."""
    # Writing 5 here makes the kernel begin anew with the peak.
    Path("/proc/self/clear_refs").write_text("5")
    begin = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - begin
    peak, now = resident_mb("VmHWM"), resident_mb()
    print(f"{name:<12} {seconds:6.2f} s   peak {peak:5.0f} MB   after {now:5.0f} MB")
    return result


def main() -> None:
    """Print one line for each step."""
    n_events = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    capture = measured("generate", lambda: synthetic(n_events, threads=threads))
    print(f"{sum(map(len, capture.events.values())):,} events, {threads} threads")
    trace = measured("build", lambda: build(capture))
    summary = measured("summarise", lambda: summarise(trace))
    rows = measured("blame", lambda: table(trace))
    measured("worst waits", lambda: worst_waits(trace, 10))
    measured("hand-offs", lambda: trace.handoffs)
    print(f"{len(trace.holds):,} holds, {len(trace.waits):,} waits, {len(rows):,} rows of blame")
    print(summary.gils[0], trace.notes)
    print(measured("check", lambda: check(trace)))


if __name__ == "__main__":
    main()
