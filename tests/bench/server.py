"""What recording adds to the demo server, and what the recorder itself costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from giltrace.capture import read
from giltrace.record.settings import CALLS

_ROUNDS = 7
_DEFAULT = "io"
_AIMS = {"off": "<= 1.03", "io": "<= 1.05"}
_REQUESTS = 20_000
_SCENARIO = (
    "-m", "giltrace", "scenario", "blocking", "--load", "0",
    "--requests", str(_REQUESTS), "--sleep-ms", "0", "--json",
)  # fmt: skip


def run() -> Iterator[tuple[str, str, str]]:
    """Recorded runs of the server at full speed, each between two plain ones."""
    slower: dict[str, list[float]] = {level: [] for level in CALLS}
    shares, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        before = _ms_per_request([sys.executable, *_SCENARIO])
        for number, level in ((n, level) for n in range(_ROUNDS) for level in CALLS):
            output = Path(folder, f"{level}-{number}.giltrace")
            options = ("-q", "--calls", level, "-o", str(output))
            recorded = _ms_per_request(
                [sys.executable, "-m", "giltrace", "record", *options, *_SCENARIO]
            )
            after = _ms_per_request([sys.executable, *_SCENARIO])
            slower[level].append(recorded / ((before + after) / 2))
            before = after
            if level == _DEFAULT:
                events, share = _facts(output)
                shares.append(share)
                sizes.append(output.stat().st_size / events)
    for name, ratios in slower.items():
        yield (
            f"demo server at full speed, {name}: slow-down",
            f"{_median(ratios):.3f}",
            _AIMS.get(name, ""),
        )
    yield "  recorder's share of one core", f"{_median(shares):.1%}", ""
    yield "  capture, bytes per event", f"{_median(sizes):.1f}", "<= 16"


def _ms_per_request(command: list[str]) -> float:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout)[0]["ms_per_request"])


def _facts(output: Path) -> tuple[int, float]:
    """Events in the capture, and CPU time of the recorder over the time it recorded."""
    capture = read(output)
    assert capture.end is not None
    wall_ns = capture.end.ts_ns - capture.session.started_ns
    events = sum(len(events.ts) for events in capture.events.values())
    return events, capture.end.recorder_cpu_ns / wall_ns


def _median(values: list[float]) -> float:
    return statistics.median(values)
