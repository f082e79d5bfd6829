"""Threads in numbers, of foreign making, and with ids that were others' before."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.life import both, whole
from tests.support.recorder import record, script


def test_two_thousand_threads(tmp_path: Path) -> None:
    """All alive at once, each one lets go and comes back; everyone is on record by name."""
    code = """
import ctypes, sys, threading
cycle = ctypes.CDLL(None).getppid
sys.setswitchinterval(0.0005)
threading.stack_size(128 << 10)
go = threading.Event()
def work():
    go.wait()
    cycle()
threads = [threading.Thread(target=work, name=f"worker {n}") for n in range(2000)]
for thread in threads: thread.start()
go.set()
for thread in threads: thread.join()
print(threading.active_count())
"""
    trace = both(tmp_path, code)
    names = {thread.name for thread in trace.threads}
    assert {f"worker {n}" for n in range(2000)} <= names
    assert len(trace.threads) == 2001
    assert trace.lost_events == 0


def test_threads_of_foreign_making(tmp_path: Path) -> None:
    """Threads that C made hold the GIL through PyGILState_Ensure, also again and again."""
    code = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
ROUTINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
seen = []
def call(_):
    seen.append(threading.get_native_id())
    time.sleep(0.0001)
    libc.getppid()
# qsort() in the thread calls back without a Python frame of that thread's in between.
ORDER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def routine(_):
    numbers = (ctypes.c_int * 8)(*range(8, 0, -1))
    libc.qsort(numbers, 8, 4, ORDER(lambda a, b: call(None) or 0))
    return None
routine = ROUTINE(routine)
for n in range(30):
    threads = [ctypes.c_ulong() for _ in range(4)]
    for thread in threads:
        assert libc.pthread_create(ctypes.byref(thread), None, routine, None) == 0
    for thread in threads:
        libc.pthread_join(thread, None)
print(len(seen) >= 30 * 4 * 7)
"""
    trace = both(tmp_path, code)
    # The kernel may give an id again; each thread is one of its own all the same.
    assert len(trace.threads) == 1 + 30 * 4
    assert all(thread.name for thread in trace.threads)


def test_thread_ids_that_are_used_again(tmp_path: Path) -> None:
    """A thread with the id of one that has ended is another thread, with a name of its own."""
    code = """
import ctypes, os, sys, threading, time
cycle = ctypes.CDLL(None).getppid
def work(tids):
    tids.append(threading.get_native_id())
    for _ in range(50): cycle()
tids = []
for n in range(20):
    if tids:
        # The next id is the first free one after this one: that of the thread before.
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(tids[0] - 1))
    thread = threading.Thread(target=work, args=(tids,), name=f"number {n}")
    thread.start(); thread.join()
    # The recorder takes slots back from threads that have ended ten times a second.
    if n % 5 == 4:
        time.sleep(0.15)
print(len(set(tids)) < len(tids))
"""
    try:
        with open("/proc/sys/kernel/ns_last_pid", "r+") as file:
            file.write(file.read())
    except OSError as error:
        pytest.skip(f"the next thread id cannot be chosen here: {error}")
    done = record(tmp_path / "out.giltrace", script(tmp_path, code))
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    trace = whole(tmp_path / "out.giltrace")
    assert sorted(t.name for t in trace.threads[1:]) == sorted(f"number {n}" for n in range(20))
    for thread in trace.threads[1:]:
        assert int((trace.holds.thread == thread.index).sum()) >= 50


@pytest.mark.parametrize("kind", ["pid", "time"])
def test_in_a_namespace_of_its_own(tmp_path: Path, kind: str) -> None:
    """Where ids or clocks mean something else the program runs unrecorded, and is told why."""
    unshare = ["unshare", "--user", "--map-root-user", "--fork", f"--{kind}"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip(f"{kind} namespaces cannot be made here")
    program = script(tmp_path, "import sys; print('ran'); sys.exit(4)")
    done = record(tmp_path / "out.giltrace", *unshare, "python", program)
    assert (done.returncode, done.stdout) == (4, "ran\n")
    assert f"{kind} namespace of its own" in done.stderr
    assert "run giltrace inside" in done.stderr
    assert not (tmp_path / "out.giltrace").exists()
