"""Stress until something breaks or the time is over.

    python -m tests.stress [--seconds 600] [--round 20] [--seed N]

Each round has a seed of its own and says it. A round that fails keeps its folder, and the command
that repeats it is shown; what threads and the kernel make of it is theirs, so it may take several.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.stress.run import StressError, stress


def main() -> int:
    """Run rounds; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="in all")
    parser.add_argument("--round", type=float, default=20, help="seconds of one round")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    for seed in itertools.count(options.seed):
        folder = Path(tempfile.mkdtemp(prefix="giltrace-stress-"))
        try:
            result = stress(folder, seed, options.round)
        except StressError as error:
            print(f"seed {seed}: {error}\nkept: {folder}")
            print(f"again: python -m tests.stress --seed {seed} --round {options.round:g}")
            return 1
        shutil.rmtree(folder)
        recorder, target = (grown >> 10 for grown in result.growth())
        print(
            f"seed {seed}, {result.mode}: {result.captures} captures, "
            f"{result.processes} processes, {result.holds:,} holds, {result.lost:,} events lost, "
            f"memory grown by {recorder} kB (recorder), {target} kB (target)",
            flush=True,
        )
        if time.monotonic() > end:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
