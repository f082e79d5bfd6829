"""Programs that end, end late, or would not end by themselves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from giltrace.experiment.process import Ended, execute
from tests.support.python import environment, wait_for

# It has a child, and neither ends by itself.
FAMILY = ["/bin/sh", "-c", "echo ready; sleep 1000000 & wait"]


def run(code: str, limit_s: float = 60, *, watches_stdin: bool = False) -> Ended:
    """Execute a piece of Python."""
    return execute([sys.executable, "-c", code], os.environ, limit_s, watches_stdin=watches_stdin)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a child or a descriptor behind."""
    fds = len(os.listdir("/proc/self/fd"))
    yield
    assert [] == psutil.Process().children(recursive=True)
    assert fds == len(os.listdir("/proc/self/fd"))


def test_a_program_that_ends() -> None:
    """Its status and what it wrote, whatever the bytes."""
    code = "import sys, os; os.write(1, b'out\\xff'); os.write(2, b'err\\xff'); sys.exit(3)"
    assert Ended(3, b"out\xff", "err\\xff") == run(code)


def test_a_program_that_a_signal_ends() -> None:
    """The number of the signal is its status, negative."""
    assert Ended(-9, b"", "") == run("import os; os.kill(os.getpid(), 9)")


def test_a_program_that_does_not_end() -> None:
    """It is ended when its time is up, with its children; what it had written is kept."""
    assert Ended(-signal.SIGKILL, b"ready\n", "", late=True) == execute(FAMILY, os.environ, 2)


def test_a_program_that_watches_stdin_may_end_in_good_order() -> None:
    """The end of its stdin is the word to stop; it is not killed if it does."""
    code = "import sys; sys.stdin.read(); print('tidy'); sys.exit(4)"
    assert Ended(4, b"tidy\n", "", late=True) == run(code, 0.5, watches_stdin=True)


def test_it_is_out_of_reach_of_the_terminal() -> None:
    """Ctrl-C is for us alone: it has a session of its own, and none of our directory."""
    code = "import os; print(os.getsid(0) == os.getpid(), os.getcwd())"
    assert b"True /\n" == run(code).stdout


def test_no_such_program() -> None:
    """A program that cannot be started is the caller's to explain."""
    with pytest.raises(FileNotFoundError):
        execute(["/no/such/program"], os.environ, 1)


def test_an_interruption_ends_it() -> None:
    """KeyboardInterrupt goes on once the program has ended, and its children."""

    def interrupt() -> None:
        while len(psutil.Process().children(recursive=True)) < 2:
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(FAMILY, os.environ, 60)
    thread.join()


def test_it_does_not_outlive_us() -> None:
    """If we are killed, its stdin ends."""
    code = """
import os, sys
from giltrace.experiment.process import execute
execute([sys.executable, "-c", "import sys; sys.stdin.read()"], os.environ, 60)
"""
    process = psutil.Popen([sys.executable, "-c", code], env=environment())
    children: list[psutil.Process] = []
    while not children:
        assert process.poll() is None
        children = process.children()
    process.kill()
    process.wait()
    wait_for(*(member.pid for member in children))
