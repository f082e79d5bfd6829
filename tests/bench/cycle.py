"""What the tap, and a policy, add to one release/acquire cycle, paired within one process."""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from giltrace import _core, policy

_CYCLES = 100_000
_ROUNDS = 15


def run() -> Iterator[tuple[str, str, str]]:
    """Alternate plain, idle and recording rounds; medians of the differences round by round."""
    idle, recording, plain = [], [], []
    policies: dict[str, list[float]] = {"manual": [], "auto": [], "cpython": []}
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
            for name, added in policies.items():
                policy(name)
                added.append(_ns_per_cycle() - bare)
    yield "ns per release/acquire cycle, without giltrace", f"{statistics.median(plain):.0f}", ""
    yield "  added while recording", f"{statistics.median(recording):.0f}", "<= 100"
    yield "  added with idle hooks", f"{statistics.median(idle):.0f}", "<= 15"
    for name, added in policies.items():
        aim = "0" if name == "cpython" else "<= 30"
        yield f"  added by policy {name}", f"{statistics.median(added):.0f}", aim


def _ns_per_cycle() -> float:
    cycle = ctypes.CDLL(None).getppid  # ctypes lets the GIL go around the call
    start = time.perf_counter_ns()
    for _ in range(_CYCLES):
        cycle()
    return (time.perf_counter_ns() - start) / _CYCLES
