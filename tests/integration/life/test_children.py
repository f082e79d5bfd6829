"""Processes that programs start, by every way Python has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.life import both, whole
from tests.support.recorder import record

BUSY = """
import ctypes, os, signal, subprocess, sys, threading, time
cycle = ctypes.CDLL(None).getppid
def cycles(n):
    for _ in range(n):
        cycle()
def busy():
    while True:
        sum(range(500)); cycle()
"""


def test_forks_among_busy_threads(tmp_path: Path) -> None:
    """Children of a process with busy threads: one thread each, that runs, ends and is recorded."""
    code = (
        BUSY
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12 on
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
for n in range(12):
    pid = os.fork()
    if pid == 0:
        cycles(100)
        thread = threading.Thread(target=cycles, args=(100,)); thread.start(); thread.join()
        if n % 3 == 0:
            sys.exit(n)  # through finalization, exit handlers and all
        if n % 3 == 1 and os.fork() == 0:
            cycles(100)
            os._exit(0)
        os._exit(n)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    trace = both(tmp_path, code)
    assert len(trace.processes) == 1 + 12 + 4
    for process in trace.processes[1:]:
        threads = trace.threads_of(process.index)
        assert 1 <= len(threads) <= 2
        held = sum((trace.holds.thread == thread.index).sum() for thread in threads)
        assert held >= 100


def test_forks_from_several_threads_at_once(tmp_path: Path) -> None:
    """Several threads fork at once, each child forks again, and all of them end."""
    code = (
        BUSY
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
codes = []
def family(n):
    for i in range(4):
        pid = os.fork()
        if pid == 0:
            inner = os.fork()
            if inner == 0:
                cycles(20); os._exit(1)
            os._exit(10 + os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
threads = [threading.Thread(target=family, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(codes)
"""
    )
    assert len(both(tmp_path, code).processes) == 1 + 4 * 4 * 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    """Pools, queues, pipes, managers and executors work, and every worker is in the capture."""
    code = """
import concurrent.futures, multiprocessing, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
def square(n):
    return n * n
def serve(queue, end):
    for item in iter(queue.get, None):
        end.send(item * 2)
    end.close()
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(pool.map(square, range(50))[-1])
        pool.close(); pool.join()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        print(sum(executor.map(square, range(50))))
    queue, (ours, theirs) = context.Queue(), context.Pipe()
    process = context.Process(target=serve, args=(queue, theirs)); process.start()
    for n in (1, 2, None):
        queue.put(n)
    print(ours.recv(), ours.recv()); process.join(); print(process.exitcode)
    process = context.Process(target=sys.exit, args=(3,)); process.start(); process.join()
    print(process.exitcode)
    process = context.Process(target=os.abort); process.start(); process.join()
    print(process.exitcode)
"""
    trace = both(tmp_path, code, method)
    helpers = {"fork": 0, "spawn": 1, "forkserver": 2}[method]
    # The executor may start one worker or two.
    assert len(trace.processes) - helpers in {1 + 2 + 1 + 3, 1 + 2 + 2 + 3}


def test_subprocesses_of_all_kinds(tmp_path: Path) -> None:
    """Pythons that are started are recorded; isolated ones and other programs are not."""
    code = (
        BUSY
        + """
for _ in range(2):
    threading.Thread(target=busy, daemon=True).start()
def say(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    print(done.returncode, done.stdout, done.stderr)
say(sys.executable, "-c", "print('python')")
say(sys.executable, "-I", "-c", "print('isolated')")
say(sys.executable, "-c", "print('bare')", env={})
say(sys.executable, "-c", "import sys; sys.exit('fails')")
say("sh", "-c", "echo shell; exit 3")
say("sh", "-c", "exec " + sys.executable + " -c 'print(1)'")
say(sys.executable, "-c", "import signal; signal.raise_signal(9)")
say("true", preexec_fn=lambda: cycles(3))
say("true", start_new_session=True, close_fds=False)
child = os.posix_spawn("/bin/true", ["true"], os.environ)
print(os.waitpid(child, 0)[1])
print(os.system("exit 4") >> 8, os.popen("echo popen").read())
"""
    )
    trace = both(tmp_path, code)
    words = [process.argv[-1] for process in trace.processes]
    # With a preexec_fn there is a moment of Python between the fork and the exec.
    assert len(trace.processes) == 1 + 4 + 1
    assert not any("isolated" in word or "bare" in word for word in words)


def test_becoming_another_program_among_busy_threads(tmp_path: Path) -> None:
    """An exec while other threads hold and wait, from the main thread and from another one."""
    code = (
        BUSY
        + """
n = int(sys.argv[1])
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
def become():
    cycles(50)
    os.execv(sys.executable, [sys.executable, __file__, str(n - 1)])
if n % 2:
    become()
elif n:
    thread = threading.Thread(target=become); thread.start(); thread.join()
print("end")
"""
    )
    trace = both(tmp_path, code, "4")
    assert [process.argv[-1] for process in trace.processes] == ["4", "3", "2", "1", "0"]


def test_no_children(tmp_path: Path) -> None:
    """With --no-children the program alone is recorded, also after it has become another one."""
    code = (
        BUSY
        + """
import multiprocessing
if __name__ == "__main__":
    if len(sys.argv) == 1:
        os.execv(sys.executable, [sys.executable, __file__, "again"])
    subprocess.run([sys.executable, "-c", "print('child', flush=True)"], check=True)
    if os.fork() == 0:
        cycles(100)
        os._exit(0)
    print(os.wait()[1])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(abs, [-1]))
        pool.close(); pool.join()
    cycles(100)
"""
    )
    trace = both(tmp_path, code, options=("-q", "--no-children"))
    assert [process.argv[-1] for process in trace.processes][1:] == ["again"]
    assert len({process.pid for process in trace.processes}) == 1
    # In a shell it is the first Python that is the program.
    done = record(
        tmp_path / "shell.giltrace",
        *("sh", "-c", f"{sys.executable} -c 'import os; os.system(\"{sys.executable} -c 0\")'; :"),
        options=("-q", "--no-children"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(whole(tmp_path / "shell.giltrace").processes) == 1
