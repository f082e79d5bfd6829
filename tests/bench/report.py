"""Explaining large captures: the report on a terminal and as a page, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.reading import write_synthetic

_MEASURE = """
import json, os, sys, time
from giltrace import load
from tests.support.memory import peak_bytes
capture, kind, output = sys.argv[1:]
start = time.perf_counter()
trace = load(capture)
if kind == "page":
    from giltrace.report.html.page import render
else:
    from giltrace.report.terminal import render
text = render(trace)
with open(output, "w", encoding="utf-8") as file:
    file.write(text)
print(json.dumps([time.perf_counter() - start,
                  peak_bytes() / 2**20]))
"""
_AIMS = {"page": ("< 10 s", "< 5 MB"), "terminal": ("", "")}


def run() -> Iterator[tuple[str, str, str]]:
    """Best of three for 1 and 10 million events, from the file to the file."""
    with tempfile.TemporaryDirectory() as folder:
        for millions in (1, 10):
            capture, output = Path(folder, f"{millions}.giltrace"), Path(folder, "out")
            write_synthetic(capture, millions * 1_000_000)
            for kind, (time_aim, size_aim) in _AIMS.items():
                seconds, mib = min(_measure(capture, kind, output) for _ in range(3))
                name = f"{millions} M events explained, {kind}"
                yield name, f"{seconds:.2f} s", time_aim
                yield f"{name}: peak memory", f"{mib:.0f} MiB", ""
                yield f"{name}: size", f"{os.path.getsize(output) / 1e6:.2f} MB", size_aim
            capture.unlink()


def _measure(*arguments: object) -> tuple[float, float]:
    command = [sys.executable, "-c", _MEASURE, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, mib = json.loads(done.stdout)
    return seconds, mib
