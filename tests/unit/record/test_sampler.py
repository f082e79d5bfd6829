"""Samples of a process from outside."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from giltrace.record.sampler import sample

# Computes for a while in one thread, sleeps in the other, then says so and waits.
BUSY = """
import os, sys, threading, time
def burn():
    while time.thread_time() < 0.2:
        pass
    print(threading.get_native_id(), flush=True)
    over.wait()
over = threading.Event()
threading.Thread(target=burn).start()
memory = b"x" * 50_000_000
sys.stdin.readline()
over.set()
"""
CROWD = """
import sys, threading
over = threading.Event()
for _ in range(80):
    threading.Thread(target=over.wait).start()
print(flush=True)
sys.stdin.readline()
over.set()
"""


def child(code: str) -> subprocess.Popen[str]:
    """A process that waits for a line at the end."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_busy_process() -> None:
    """Memory, CPU time and context switches are those of the process, thread by thread."""
    with child(BUSY) as process:
        assert process.stdout is not None
        burner = int(process.stdout.readline())
        before = time.monotonic_ns()
        taken = sample(psutil.Process(process.pid), 3)
        process.communicate("\n", timeout=30)
    assert taken is not None
    assert (taken.process, taken.num_threads) == (3, 2)
    assert before <= taken.ts_ns <= time.monotonic_ns()
    assert taken.rss > 50_000_000
    # The kernel counts in ticks of 10 ms.
    rows = {tid: row for tid, *row in taken.threads}
    assert set(rows) == {process.pid, burner}
    assert sum(rows[burner][:2]) >= 180_000_000
    assert taken.cpu_user_ns + taken.cpu_system_ns >= 180_000_000
    assert rows[process.pid][2] > 0
    assert taken.ctx_voluntary > 0


def test_a_crowd_of_threads() -> None:
    """With many threads their context switches are not asked for, their CPU time is."""
    with child(CROWD) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = sample(psutil.Process(process.pid), 0)
        process.communicate("\n", timeout=30)
    assert taken is not None
    assert taken.num_threads == len(taken.threads) == 81
    assert {(voluntary, involuntary) for *_, voluntary, involuntary in taken.threads} == {(0, 0)}


def test_a_process_that_has_ended() -> None:
    """There is no sample of it, and no error."""
    with child("pass") as process:
        handle = psutil.Process(process.pid)
        process.communicate(timeout=30)
    assert sample(handle, 0) is None
