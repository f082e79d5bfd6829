"""Exporting large captures to Perfetto: time, memory and size, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.reading import write_synthetic

_MEASURE = """
import json, os, sys, time
start = time.perf_counter()
from giltrace import load
from tests.support.memory import peak_bytes
from giltrace.export.registry import create
trace = load(sys.argv[1])
with open(sys.argv[3], "wb") as out:
    create(sys.argv[2]).write(trace, out)
print(json.dumps([time.perf_counter() - start, os.path.getsize(sys.argv[3]),
                  peak_bytes() / 2**20]))
"""
_AIMS = {
    ("perfetto", 1): ("< 3 s", "", "< 5 MB"),
    ("perfetto", 10): ("< 30 s", "< 500 MB", ""),
}


def run() -> Iterator[tuple[str, str, str]]:
    """Best of two for 1 million events, once for 10 million; reading the capture is included."""
    with tempfile.TemporaryDirectory() as folder:
        for millions in (1, 10):
            capture = Path(folder, f"{millions}.giltrace")
            write_synthetic(capture, millions * 1_000_000)
            for name in ("perfetto", "chrome") if millions == 1 else ("perfetto",):
                runs = [_measure(capture, name) for _ in range(2 if millions == 1 else 1)]
                seconds, size, memory_mib = min(runs)
                time_aim, memory_aim, size_aim = _AIMS.get((name, millions), ("", "", ""))
                label = f"{millions} M events to {name}"
                yield f"{label}: read and export", f"{seconds:.2f} s", time_aim
                yield f"{label}: peak memory", f"{memory_mib:.0f} MiB", memory_aim
                yield f"{label}: output", f"{size / 1e6:.2f} MB", size_aim
            capture.unlink()


def _measure(capture: Path, name: str) -> tuple[float, int, float]:
    output = capture.with_suffix(".out")
    command = [sys.executable, "-c", _MEASURE, str(capture), name, str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    output.unlink()
    seconds, size, memory_mib = json.loads(done.stdout)
    return seconds, size, memory_mib
