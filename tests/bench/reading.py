"""Reading and analysing large captures: time and memory, each in a process of its own."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from giltrace.capture import CaptureWriter
from giltrace.capture.records import Record
from tests.support.synthetic import synthetic

_FRAME = 16_000
_MEASURE = """
import json, sys, time
from giltrace import load
from tests.support.memory import peak_bytes
from giltrace.analysis.blame import table
from giltrace.analysis.summary import summarise
start = time.perf_counter()
trace = load(sys.argv[1])
read = time.perf_counter()
summarise(trace)
table(trace)
print(json.dumps([read - start, time.perf_counter() - read,
                  peak_bytes() / 2**20]))
"""


def run() -> Iterator[tuple[str, str, str]]:
    """Best of three for 1 and 10 million events."""
    with tempfile.TemporaryDirectory() as folder:
        for millions in (1, 10):
            path = Path(folder, f"{millions}.giltrace")
            write_synthetic(path, millions * 1_000_000)
            runs = [json.loads(_measure(path)) for _ in range(3)]
            load_s, analyse_s, memory_mib = min(runs, key=lambda run: run[0] + run[1])
            aims = ("< 3 s", "< 1000 MB") if millions == 10 else ("", "")
            name = f"{millions} M events"
            yield f"{name}: read and build", f"{load_s:.2f} s", ""
            yield f"{name}: summary and blame", f"{analyse_s:.2f} s", ""
            yield f"{name}: both", f"{load_s + analyse_s:.2f} s", aims[0]
            yield f"{name}: peak memory", f"{memory_mib:.0f} MiB", aims[1]
            path.unlink()


def write_synthetic(path: Path, events: int, *, threads: int = 8) -> None:
    """A capture as a recorder would have written it: about 100 ms of all threads in a frame."""
    capture = synthetic(events, threads=threads)
    with path.open("wb") as file:
        writer = CaptureWriter(file, capture.session)
        records: list[Record] = [*capture.processes, *capture.threads, *capture.codes]
        for record in records:
            writer.write(record)
        columns = capture.events[0]
        data = np.rec.fromarrays([columns.ts, columns.data])
        for start in range(0, len(data), _FRAME):
            frame = slice(start, start + _FRAME)
            thread = columns.thread[frame]
            edges = np.flatnonzero(np.diff(thread)) + 1
            bounds = np.concatenate(([0], edges, [len(thread)]))
            runs = [(int(thread[a]), int(b - a)) for a, b in itertools.pairwise(bounds)]
            writer.events(0, runs, data[frame].tobytes())
        for last in capture.process_ends:
            writer.write(last)
        if capture.end is not None:
            writer.write(capture.end)


def _measure(path: Path) -> str:
    command = [sys.executable, "-c", _MEASURE, str(path)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
