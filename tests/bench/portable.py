"""What the portable back end costs, on this interpreter and on PyPy."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.portable import PYPY, record

ROUNDS = 20_000

PROGRAM = f"""
import json, socket, threading, time
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def builtins():
    word = "giltrace"
    for _ in range(1_000_000):
        len(word)
def best(work, *args):
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        work(*args)
        spent.append(time.perf_counter() - start)
    return min(spent)
def echo(end):
    for _ in range({ROUNDS}):
        end.send(end.recv(1))
def ping_pong():
    a, b = socket.socketpair()
    threading.Thread(target=echo, args=(b,)).start()
    for _ in range({ROUNDS}):
        a.send(b"x")
        a.recv(1)
print(json.dumps([best(fib, 25), best(builtins), best(ping_pong)]))
"""

# What is counted in each piece of work above, how often it happens, and what it is called.
COUNTS = (
    ("Python calls (recursive Fibonacci)", 2 * 242_785, "call or return"),
    ("calls of len", 2 * 1_000_000, "call or return"),
    ("two threads over a socket", 2 * ROUNDS, "hand-off"),
)


def run() -> Iterator[tuple[str, str, str]]:
    """Each piece of work with and without a recording."""
    for python in filter(None, (sys.executable, PYPY)):
        command = [python, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        with tempfile.TemporaryDirectory() as folder:
            recorded = record(Path(folder), *command)
        assert recorded.capture.process_ends[0].lost_events == 0
        times = zip(COUNTS, json.loads(done.stdout), json.loads(recorded.out), strict=True)
        name = Path(python).name
        for (what, count, unit), before, after in times:
            yield f"portable, {name}: {what}, slow-down", f"{after / before:.1f}", ""
            yield f"  ns added per {unit}", f"{(after - before) / count * 1e9:,.0f}", ""
