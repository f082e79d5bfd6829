"""The tap against kernel uprobes on CPython's own functions."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import uprobes
from tests.support.python import environment

TARGET = """
import json, os, socket, sys, threading, time
from giltrace import _core
from tests.support.events import drained

def serve(conn):
    while data := conn.recv(64):
        conn.sendall(data)

def ask(conn):
    for _ in range(150):
        conn.sendall(b"x"); conn.recv(64)
    conn.shutdown(socket.SHUT_WR)

def spin():
    n = 0
    while not done: n += 1

done = False
print("ready", flush=True)
sys.stdin.readline()
_core.start(sys.argv[1], b"{}")
reader = _core.ArenaReader(sys.argv[1])
a, b = socket.socketpair()
spinner = threading.Thread(target=spin)
pair = [threading.Thread(target=serve, args=(a,)), threading.Thread(target=ask, args=(b,))]
for t in (spinner, *pair): t.start()
for t in pair: t.join()
done = True
spinner.join()
_core.stop()
tids = {slot: tid for slot, _, tid, _, _ in reader.threads()}
events = [(tids[e.slot], e.ts, e.kind, e.flags) for e in drained(reader)]
assert reader.totals()["lost_events"] == 0
with open(sys.argv[2], "w") as file: json.dump(events, file)
print("done", flush=True)
sys.stdin.readline()
"""


def test_same_events_as_uprobes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Per thread: the same acquires and releases, at the same times."""
    if reason := uprobes.missing():
        pytest.skip(reason)
    command = [sys.executable, "-c", TARGET, str(tmp_path / "arena"), str(tmp_path / "events")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as target:
        assert target.stdin is not None and target.stdout is not None
        assert target.stdout.readline() == "ready\n"
        with uprobes.probing(target.pid) as instance:
            target.stdin.write("\n")
            target.stdin.flush()
            assert target.stdout.readline() == "done\n"
            witnessed = uprobes.hits(instance)
            assert uprobes.overruns(instance) == 0
        target.stdin.close()
    ours = json.loads((tmp_path / "events").read_text())
    # The thread that starts and stops the recording was at it before and is after.
    workers = {tid for tid, *_ in ours} - {target.pid}
    assert len(workers) == 3
    apart = []
    for tid in workers:
        away = [hit.ts_ns for hit in witnessed if (hit.tid, hit.kind) == (tid, "away")]
        for kind in ("acquire", "release"):
            mine = [ts for t, ts, k, _ in ours if (t, k) == (tid, kind)]
            theirs = [hit.ts_ns for hit in witnessed if (hit.tid, hit.kind) == (tid, kind)]
            assert len(mine) == len(theirs) > 0, (tid, kind)
            # Where the kernel took the CPU away between the two witnesses, neither is late.
            apart += [
                abs(a - b)
                for a, b in zip(mine, theirs, strict=True)
                if not any(min(a, b) - 1000 <= ts <= max(a, b) + 1000 for ts in away)
            ]
    apart.sort()
    assert len(apart) > 500
    figures = (
        f"{len(apart)} events: median {statistics.median(apart) / 1000:.1f} us apart, "
        f"99 % within {apart[len(apart) * 99 // 100] / 1000:.1f} us, max {apart[-1] / 1000:.1f} us"
    )
    record_property("witness", figures)
    sys.stdout.write(figures + "\n")
    assert statistics.median(apart) <= 5_000
    # A virtual machine may lose its CPU without its kernel knowing; more than that is our fault.
    assert apart[-3] <= 100_000
