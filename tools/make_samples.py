"""Make everything in sample_runs/ anew, and the figures in the documents that come from it.

    python tools/make_samples.py [PYTHON …] [--quick] [--into DIR]

Wants a quiet machine, and most of an hour: the talk's own numbers take about ten minutes on each
interpreter. Every command is shown before it runs. PYTHON are the interpreters to compare, by
default one CPython 3.11, 3.12 and 3.13 each and pypy3, as far as they are found.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_runs"
VERSIONS = ("3.11", "3.12", "3.13")
SERVERS = ("c-zmq", "python-zmq", "multiprocessing", "blocking", "nonblocking")
PYTHON_SERVERS = SERVERS[1:]
LOADS = ("--load", "0", "--load", "1", "--load", "2", "--load", "4")
SWEEP = "10ms,5ms,1ms,100us,10us"
INTERVALS = "5ms,1ms,100us,10us"
QUICK_REQUESTS = 20
LIMIT_BYTES = 5_000_000

OK, FAILED_LEGS, INTERRUPTED = 0, 1, 130


def main() -> int:
    """Run all; return the exit status."""
    options = _parser().parse_args()
    into: Path = options.into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    pythons = [_absolute(python) for python in options.pythons] or list(interpreters())
    for name, words in commands(pythons, quick=options.quick):
        status = bench([*words, "--json", f"{name}.json", "--force"], into)
        # Where something is not installed, rows say so; the others are there.
        if status not in (OK, FAILED_LEGS):
            return status
    size = sum(path.stat().st_size for path in into.iterdir())
    print(f"{into}: {size / 1e6:.2f} MB", file=sys.stderr)
    if size > LIMIT_BYTES:
        print(f"That is more than {LIMIT_BYTES / 1e6:g} MB.", file=sys.stderr)
        return 1
    if into != SAMPLES:
        return OK
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "fill_figures.py"], check=False
    ).returncode


def commands(pythons: Sequence[str], *, quick: bool) -> Iterator[tuple[str, list[str]]]:
    """The name of each document, and the arguments of ``giltrace bench`` that make it."""

    def requests(count: int) -> list[str]:
        return ["--requests", str(QUICK_REQUESTS if quick else count), "--repeat", "1"]

    chosen = [word for python in pythons for word in ("--python", python)]
    # Without a pause of the client's: a wait behind its back would count, and cost it nothing.
    yield "captures", [*SERVERS, *requests(200), "--sleep-ms", "0", "--record", "."]
    # ... and one of them under other policies, to set beside that.
    policies = ("--load", "1", "--policy", "manual", "--policy", "auto")
    yield "priorities", ["blocking", *requests(200), "--sleep-ms", "0", *policies, "--record", "."]
    # The terminal program: a key each 20 ms, before and after.
    keys = ("--sleep-ms", "20", "--policy", "cpython", "--policy", "auto", "--record", ".")
    yield "keystroke", ["keystroke", *requests(100), *keys]
    # What can be done about it, on every server in Python: other policies, other intervals.
    rules = ("--policy", "cpython", *policies[2:], "--switch-interval", INTERVALS)
    for server in PYTHON_SERVERS:
        yield f"policies-{server}", [server, *requests(200), *LOADS, *rules]
    yield "talk", ["--full", *requests(10_000), *chosen, "--plot", "talk.svg"]
    yield (
        "sweep",
        ["blocking", *requests(2000), "--switch-interval", SWEEP, "--plot", "sweep.svg"],
    )
    kinds = ("--load-kind", "spin", "--load-kind", "process", "--load-kind", "native")
    yield (
        "loads",
        ["blocking", "nonblocking", *requests(500), *LOADS, *kinds, "--plot", "loads.svg"],
    )
    for python in pythons:
        if os.path.basename(python).startswith("pypy"):
            # Beside a recursive thread no reply comes at all; that need not take minutes to show.
            limit = "2" if quick else "30"
            words = ["blocking", *requests(2000), "--load-kind", "fib", "--time-limit", limit]
            yield "pypy-fib", [*words, "--python", python]
    yield "ccbench", ["--ccbench", *(["--load", "0"] if quick else ["--full"])]


def bench(words: Sequence[str], into: Path) -> int:
    """Show and run ``giltrace bench`` in a directory; return its exit status."""
    print(f"$ giltrace bench {shlex.join(words)}", file=sys.stderr, flush=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "giltrace", "bench", *words]
    process = subprocess.Popen(command, cwd=into, env=env)
    try:
        return process.wait()
    except KeyboardInterrupt:  # it has heard of it, too, and writes what it has
        process.wait()
        return INTERRUPTED


def interpreters() -> Iterator[str]:
    """One CPython of each version, this one among them, and PyPy."""
    listed = subprocess.run(
        [ROOT / "tools" / "find-python", "--all"], capture_output=True, text=True, check=False
    )
    found = {}
    for line in listed.stdout.splitlines():
        version, _, path = line.partition(" ")
        found[".".join(version.split(".")[:2])] = path
    found["{}.{}".format(*sys.version_info)] = sys.executable
    yield from (found[version] for version in VERSIONS if version in found)
    if pypy := shutil.which("pypy3"):
        yield pypy


def _absolute(python: str) -> str:
    # Commands run in another directory than the one it may be relative to.
    return os.path.abspath(shutil.which(python) or python)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters to compare")
    parser.add_argument("--quick", action="store_true", help="only to see that everything works")
    parser.add_argument("--into", type=Path, default=SAMPLES, metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
