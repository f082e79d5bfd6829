"""What the tap adds to one release/acquire cycle, paired within one process."""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from giltrace import _core

_CYCLES = 100_000
_ROUNDS = 15


def run() -> Iterator[tuple[str, str, str]]:
    """Alternate plain, idle and recording rounds; medians of the differences round by round."""
    idle, recording, plain = [], [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for number in range(_ROUNDS):
            bare = _ns_per_cycle()
            _core.install()
            with_hooks = _ns_per_cycle()
            _core.stop()
            path = Path(folder, str(number))
            _core.start(path, b"{}")
            with_events = _ns_per_cycle()
            _core.stop()
            reader = _core.ArenaReader(path)
            assert reader.totals()["lost_events"] == 0
            reader.close()
            path.unlink()
            plain.append(bare)
            idle.append(with_hooks - bare)
            recording.append(with_events - bare)
    yield "ns per release/acquire cycle, without giltrace", f"{statistics.median(plain):.0f}", ""
    yield "  added while recording", f"{statistics.median(recording):.0f}", "<= 100"
    yield "  added with idle hooks", f"{statistics.median(idle):.0f}", "<= 15"


def _ns_per_cycle() -> float:
    cycle = ctypes.CDLL(None).getppid  # ctypes lets the GIL go around the call
    start = time.perf_counter_ns()
    for _ in range(_CYCLES):
        cycle()
    return (time.perf_counter_ns() - start) / _CYCLES
