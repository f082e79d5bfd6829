"""What a thread that is stopped for an attach notices of it: nothing, wherever it is stopped."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from giltrace import _core
from giltrace.record.running import examine
from tests.support.attached import attach
from tests.support.python import environment

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="threads are stopped on x86-64 only"
)


@contextmanager
def running(code: str, *args: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it is ready; killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """What a program says from when its standard input is closed until it ends by itself."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def inject(pid: int, *, pending: bool) -> bool:
    """Have a process's main thread do nothing, in either way."""
    return _core.inject(pid, pending, b"pass", examine(pid).functions)


def test_handlers_stay_where_signals_are_blocked(tmp_path: Path) -> None:
    """A thread that has all signals blocked makes its calls, and the program keeps its handlers."""
    code = """
    import faulthandler, os, signal, sys, threading
    faulthandler.enable()
    def caught():
        return [line for line in open("/proc/self/status")
                if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    def wait():
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        blocked = caught_here()
        os.read(0, 1)
        assert caught_here() == blocked
    def caught_here():
        with open("/proc/thread-self/status") as lines:
            return [line for line in lines if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    waiting = threading.Thread(target=wait)
    waiting.start()
    before = caught()
    print("ready", flush=True)
    waiting.join()
    print(caught() == before)
    """
    with running(code) as target:
        output = str(tmp_path / "out.giltrace")
        done = attach(target.pid, "-q", "-o", output, "--duration", "0.05")
        assert (done.returncode, done.stderr) == (0, "")
        assert said(target) == "True\n"


def test_a_thread_that_does_not_stop_is_let_go(tmp_path: Path) -> None:
    """One that waits inside the kernel for a child (vfork) is not held up when it comes back."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = """
    import os, sys
    print("ready", flush=True)
    opens = (os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)
    child = os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opens])
    os.waitpid(child, 0)
    print("went on")
    """
    with running(code, pipe) as target:
        stat = Path(f"/proc/{target.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "D":
            pass
        with pytest.raises(_core.TapError, match="does not stop"):
            inject(target.pid, pending=True)
        pipe.write_bytes(b"")
        assert said(target) == "went on\n"


def test_a_lock_with_priority_inheritance_is_waited_for() -> None:
    """A main thread that waits for one is asked, but not made to believe that it has it."""
    code = """
    import ctypes, os, sys, threading
    libc = ctypes.CDLL(None)
    kind, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    libc.pthread_mutexattr_init(kind)
    assert libc.pthread_mutexattr_setprotocol(kind, 1) == 0  # PTHREAD_PRIO_INHERIT
    libc.pthread_mutex_init(mutex, kind)
    held, released = threading.Event(), []
    def hold():
        libc.pthread_mutex_lock(mutex)
        held.set()
        os.read(0, 1)
        released.append("released")
        libc.pthread_mutex_unlock(mutex)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    print("ready", flush=True)
    libc.pthread_mutex_lock(mutex)
    print(released)
    holder.join()
    """
    with running(code) as target:
        syscall = Path(f"/proc/{target.pid}/syscall")
        while syscall.read_text().split()[0] != "202":
            pass
        assert inject(target.pid, pending=True)
        assert said(target) == "['released']\n"


def test_a_thread_that_has_ended_is_none() -> None:
    """It is no reason to give up: another one may do."""
    with running("print('ready', flush=True); input()") as target:
        functions = examine(target.pid).functions
        target.communicate("\n", timeout=60)
    assert not _core.inject(target.pid, False, b"pass", functions)
