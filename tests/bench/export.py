"""Exporting large captures to Perfetto: time, memory and size, each in a process of its own."""

from __future__ import annotations

import functools
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from giltrace.capture import read
from giltrace.export import perfetto
from giltrace.export.assembly import Objects
from giltrace.export.perfetto import PerfettoExporter
from giltrace.export.perfetto.packets import Packets
from giltrace.export.shapes import Gap
from giltrace.model import Trace, load
from giltrace.model.tables import I8
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
# Four threads that hand the GIL to and fro, with calls, descriptors and CPU clocks on record.
_PROGRAM = """
import ctypes, os, socket, sys, threading, time
cycle, done = ctypes.CDLL(None).getppid, threading.Event()
def compute():
    while not done.is_set():
        for _ in range(20_000):
            pass
        cycle()
def serve(connection):
    while data := connection.recv(4096):
        connection.sendall(data)
def ask(connection):
    while not done.is_set():
        connection.sendall(b"x" * 100)
        connection.recv(4096)
    connection.close()
here, there = socket.socketpair()
for target, *args in ((compute,), (serve, there), (ask, here)):
    threading.Thread(target=target, args=args, name=target.__name__).start()
source, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
for copy in range(int(sys.argv[1])):
    os.write(sink, os.read(source, 64))
    if copy % 500 == 0:
        time.sleep(0.002)  # or the recorder could not keep up on a busy machine
done.set()
"""
_CONVOY = ("giltrace", "scenario", "blocking", "--load", "1", "--requests", "2000")
_COPIES_PER_MILLION = 125_000
_AIMS = {
    ("perfetto", 1): ("< 3 s", "", "< 5 MB"),
    ("perfetto", 10): ("< 30 s", "< 500 MB", ""),
}


# What an export is made of: by how much smaller it is if these are the same everywhere.
_CONTENTS: dict[str, set[Gap]] = {
    "times": {Gap.STEP},
    "places, with their source text": {Gap.PLACE, Gap.EXPRESSION},
    "CPU clocks": {Gap.CLOCK, Gap.OFF_CLOCK},
    "who waited, and whom to blame": {Gap.WAITERS, Gap.REQUESTS, Gap.BLAMED},
}


def run() -> Iterator[tuple[str, str, str]]:
    """Best of two for 1 million events, once for 10 million; reading the capture is included.

    Of made-up captures, then of recorded ones with about as many events, and of a small convoy.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for millions in (1, 10):
            capture = folder / "synthetic.giltrace"
            write_synthetic(capture, millions * 1_000_000)
            label = f"{millions} M events"
            yield from _exported(capture, f"{label} to perfetto", "perfetto", millions)
            if millions == 1:
                yield from _contents(capture)
                yield from _exported(capture, f"{label} to chrome", "chrome", millions)
            events = _record(capture, "-c", _PROGRAM, str(millions * _COPIES_PER_MILLION))
            label = f"{events / 1e6:.1f} M recorded events"
            yield from _exported(capture, f"{label} to perfetto", "perfetto", millions)
        events = _record(capture, "-m", *_CONVOY)
        size = len(_perfetto(load(capture)))
        yield f"{events / 1e6:.3f} M events of a convoy: bytes an event", f"{size / events:.1f}", ""
        yield from _contents(capture)


def _exported(
    capture: Path, label: str, name: str, millions: int
) -> Iterator[tuple[str, str, str]]:
    runs = [_measure(capture, name) for _ in range(2 if millions == 1 else 1)]
    seconds, size, memory_mib = min(runs)
    time_aim, memory_aim, size_aim = _AIMS.get((name, millions), ("", "", ""))
    yield f"{label}: read and export", f"{seconds:.2f} s", time_aim
    yield f"{label}: peak memory", f"{memory_mib:.0f} MiB", memory_aim
    yield f"{label}: output", f"{size / 1e6:.2f} MB", size_aim


def _record(capture: Path, *program: str) -> int:
    """How many events there are of a program that is recorded."""
    command = [sys.executable, "-m", "giltrace", "record", "-q", "--force", "-o", str(capture)]
    subprocess.run([*command, *program], stdout=subprocess.DEVNULL, check=True)
    return sum(map(len, read(capture).events.values()))


def _contents(capture: Path) -> Iterator[tuple[str, str, str]]:
    trace = load(capture)
    whole = len(_perfetto(trace))
    for what, gaps in _CONTENTS.items():
        saved = whole - len(_perfetto(trace, gaps))
        yield f"  of which {what}", f"{saved / whole:.1%}", ""


def _perfetto(trace: Trace, same: Collection[Gap] = ()) -> bytes:
    """The export, with the numbers in some gaps the same everywhere."""
    out = io.BytesIO()
    with mock.patch.object(perfetto, "Packets", functools.partial(_Alike, same)):
        PerfettoExporter().write(trace, out)
    return out.getvalue()


class _Alike(Packets):
    """Packets in which some numbers are 0."""

    def __init__(self, same: Collection[Gap], *args: Any) -> None:
        self._same = same
        super().__init__(*args)

    def _fill(self, gap: Gap, numbers: I8) -> Objects:
        return super()._fill(gap, np.zeros_like(numbers) if gap in self._same else numbers)


def _measure(capture: Path, name: str) -> tuple[float, int, float]:
    output = capture.with_suffix(".out")
    command = [sys.executable, "-c", _MEASURE, str(capture), name, str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    output.unlink()
    seconds, size, memory_mib = json.loads(done.stdout)
    return seconds, size, memory_mib
