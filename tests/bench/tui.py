"""The terminal UI on a large capture: first paint, steps, memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.reading import write_synthetic

_MEASURE = """
import asyncio, json, random, statistics, sys, time
from tests.support.memory import peak_bytes
from giltrace import load
from giltrace.tui.app import GiltraceApp
from giltrace.tui.trace_source import TraceSource

trace = load(sys.argv[1])
start = time.perf_counter()
app = GiltraceApp(TraceSource(trace), "bench", theme="textual-dark")
found = {}

async def painted():
    done = asyncio.Event()
    app.screen.call_after_refresh(done.set)
    await done.wait()

async def story(pilot):
    await painted()
    found["paint"] = time.perf_counter() - start
    await app.workers.wait_for_complete()
    found["ready"] = time.perf_counter() - start
    screen, pick = app.screen, random.Random(1)
    steps = []
    for _ in range(int(sys.argv[2])):
        step = pick.choice([
            lambda: screen.action_zoom(True), lambda: screen.action_zoom(True),
            lambda: screen.action_zoom(False),
            lambda: screen.action_step(1), lambda: screen.action_step(-1),
            lambda: screen.action_page(1),
        ])
        begin = time.perf_counter()
        step()
        await painted()
        steps.append(time.perf_counter() - begin)
    found["step"], found["worst"] = statistics.median(steps), max(steps)
    app.exit()

app.run(headless=True, size=(200, 50), auto_pilot=story)
found["memory"] = peak_bytes() / 2**20
print(json.dumps(found))
"""

_STEPS = 200


def run() -> Iterator[tuple[str, str, str]]:
    """10 million events of 8 threads, and 200,000 of a thousand threads."""
    cases = (("10 M events", 10_000_000, 8), ("1,000 threads", 200_000, 1_000))
    with tempfile.TemporaryDirectory() as folder:
        for name, events, threads in cases:
            path = Path(folder, "synthetic.giltrace")
            write_synthetic(path, events, threads=threads)
            found = _measure(path)
            yield f"tui, {name}: first paint after reading", f"{found['paint']:.2f} s", "< 2 s"
            yield f"tui, {name}: findings there", f"{found['ready']:.1f} s", ""
            step, worst = (f"{1000 * found[key]:.0f} ms" for key in ("step", "worst"))
            yield f"tui, {name}: zoom or pan, median of {_STEPS}", step, "< 50 ms"
            yield f"tui, {name}: the slowest of them", worst, ""
            yield f"tui, {name}: peak memory", f"{found['memory']:.0f} MiB", "< 1000 MB"
            path.unlink()


def _measure(path: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _MEASURE, str(path), str(_STEPS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
