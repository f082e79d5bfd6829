"""Who ended a wait for a lock, in a real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from giltrace.analysis.calls import CallRow, table
from giltrace.model import Trace, load
from tests.support.recorder import record, script

# The opener computes before it lets the waiter in, and goes on: nobody else can have done that.
CODE = """
import threading, time
ROUNDS = 5
def compute():
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
def waiter():
    for _ in range(ROUNDS):
        lock.acquire()
        back.set()
def opener():
    thread = threading.Thread(target=waiter, name="waiter")
    thread.start()
    for _ in range(ROUNDS):
        time.sleep(0.02)
        compute()
        lock.release()
        compute()
        back.wait()
        back.clear()
    thread.join()
lock, back = threading.Lock(), threading.Event()
lock.acquire()
thread = threading.Thread(target=opener, name="opener")
thread.start()
thread.join()
"""


def rows_of(trace: Trace, name: str) -> list[CallRow]:
    """The rows of a thread, by its name."""
    return [row for row in table(trace) if trace.threads[row.thread].name.startswith(name)]


def test_the_thread_that_let_go_of_the_lock(tmp_path: Path) -> None:
    """The waiter's row names it for every round; the report and its JSON show that."""
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, CODE))
    assert done.returncode == 0, done.stderr
    trace = load(output)
    (row,) = [row for row in rows_of(trace, "waiter") if row.call == "Lock.acquire"]
    assert row.count == 5
    ((who, times),) = row.woken_by
    assert (trace.threads[who].name, times) == ("opener", 5)
    command = [sys.executable, "-m", "giltrace", "report", str(output)]
    shown = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    calls = json.loads(shown)["blocking_calls"]
    (found,) = [one for one in calls if one["thread"] == "waiter" and one["woken_by"]]
    assert [(one["thread"], one["count"]) for one in found["woken_by"]] == [("opener", 5)]
    wide = {**os.environ, "COLUMNS": "200"}
    text = subprocess.run(command, capture_output=True, text=True, env=wide, check=True).stdout
    assert "woken by" in text and "opener (5)" in text
