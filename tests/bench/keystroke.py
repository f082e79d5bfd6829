"""From keystroke to echo in a terminal program with a thread that computes: the talk's IDLE."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

_LEG = "giltrace.scenarios.leg", "keystroke", "--requests", "150", "--sleep-ms", "20"


def run() -> Iterator[tuple[str, str, str]]:
    """Type into the program, alone and beside a thread that computes, under each policy."""
    for name, options in (
        ("alone", ()),
        ("beside a CPU thread", ("--load", "1")),
        ("  policy manual", ("--load", "1", "--policy", "manual")),
        ("  policy auto", ("--load", "1", "--policy", "auto")),
    ):
        command = [sys.executable, "-m", *_LEG, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)["result"]
        times = f"{found['p50_ms']:.2f} ({found['p99_ms']:.1f})"
        yield f"keystroke to echo, {name}, ms", times, "median (p99)"
