"""Reading and analysing large captures: time and memory, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEASURE = """
import json, resource, sys, time
from giltrace import load
from giltrace.analysis.blame import blame, table
from giltrace.analysis.summary import summarise
start = time.perf_counter()
trace = load(sys.argv[1])
read = time.perf_counter()
summarise(trace)
table(trace, blame(trace))
print(json.dumps([read - start, time.perf_counter() - read,
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def run() -> Iterator[tuple[str, str, str]]:
    """Best of three for 1 and 10 million events."""
    with tempfile.TemporaryDirectory() as folder:
        for millions in (1, 10):
            path = Path(folder, f"{millions}.giltrace")
            _write(path, millions * 1_000_000)
            runs = [json.loads(_measure(path)) for _ in range(3)]
            load_s, analyse_s, memory_mib = min(runs, key=lambda run: run[0] + run[1])
            aims = ("< 3 s", "< 1000 MB") if millions == 10 else ("", "")
            name = f"{millions} M events"
            yield f"{name}: read and build", f"{load_s:.2f} s", ""
            yield f"{name}: summary and blame", f"{analyse_s:.2f} s", ""
            yield f"{name}: both", f"{load_s + analyse_s:.2f} s", aims[0]
            yield f"{name}: peak memory", f"{memory_mib:.0f} MiB", aims[1]
            path.unlink()


def _write(path: Path, events: int) -> None:
    code = (
        "import sys; from tests.support.synthetic import write_synthetic;"
        "write_synthetic(sys.argv[1], int(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(events)], check=True)


def _measure(path: Path) -> str:
    command = [sys.executable, "-c", _MEASURE, str(path)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
