"""The portable back end where threads and signal handlers come in one another's way."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from giltrace.model import check
from tests.support import recorder
from tests.support.portable import PING_PONG, PYPY, held_ns, interpreters, record
from tests.support.python import environment

# Its programs import giltrace from the checkout.
pytestmark = pytest.mark.repo

on_pypy = pytest.mark.skipif(PYPY is None, reason="there is no pypy3")


def run(folder: Path, python: str, code: str) -> list[str]:
    """Run a program that imports giltrace; gives the lines that it prints.

    What it is given as its argument is a session.
    """
    (folder / "options").write_text(f"recorder {os.getpid()}\n")
    done = subprocess.run(
        [python, recorder.script(folder, code), str(folder)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@interpreters
def test_signal_handlers_that_raise(tmp_path: Path, python: str) -> None:
    """What a handler raises reaches the program, wherever it strikes; others are recorded."""
    code = (
        """
import signal
class Struck(Exception): pass
def strike(number, frame): raise Struck
signal.signal(signal.SIGALRM, strike)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
struck = 0
while struck < 50:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while True:
            fib(5)
    except Struck:
        struck += 1
print(struck)
"""
        + PING_PONG
    )
    done = record(tmp_path, python, recorder.script(tmp_path, code))
    assert (done.code, done.out, done.err) == (0, "50\n", "")
    assert check(done.trace) == []
    assert "echo" in [thread.name for thread in done.trace.threads]


@on_pypy
def test_a_signal_that_was_held_back(tmp_path: Path) -> None:
    """Its handler runs as soon as it may, and what it raises comes out there."""
    assert PYPY is not None
    code = f"""
    import os, signal, threading
    from giltrace.runtime import portable_signals
    def strike(number, frame): raise RuntimeError("struck")
    signal.signal({signal.SIGALRM}, strike)
    for _ in range(100):
        portable_signals.hold_back()
        os.kill(os.getpid(), {signal.SIGALRM})
        late = sum(range(1000))
        try:
            portable_signals.let_through(threading.get_ident())
        except RuntimeError as error:
            assert str(error) == "struck"
            late = 0
        assert late == 0
    print(portable_signals.can_be_held_back())
    thread = threading.Thread(target=lambda: print(portable_signals.can_be_held_back()))
    thread.start()
    thread.join()
    """
    assert run(tmp_path, PYPY, code) == ["True", "False"]


@on_pypy
def test_what_a_handler_ends_is_said(tmp_path: Path) -> None:
    """An exception that strikes in the profile function ends it, and a note says so."""
    assert PYPY is not None
    code = """
    import os, signal, sys
    def strike(number, frame): raise OSError
    signal.signal(signal.SIGUSR1, strike)
    while sys.getprofile() is not None:  # mostly it strikes elsewhere
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            len("")
        except OSError:
            pass
    """
    done = record(tmp_path, PYPY, recorder.script(tmp_path, code))
    assert (done.code, done.out, done.err) == (0, "", "")
    notes = "\n".join(done.capture.process_ends[0].notes)
    assert "something has taken away the profile function (sys.setprofile) of MainThread" in notes


@on_pypy
def test_import_locks(tmp_path: Path) -> None:
    """While recording no callback of theirs runs, where a handler's exception would be dropped."""
    assert PYPY is not None
    code = """
    import gc, sys
    from giltrace.runtime import portable
    system = sys.modules["_frozen_importlib"]
    theirs = system._get_module_lock
    portable.join(sys.argv[1])
    known = set(system._module_locks)
    import colorsys
    for _ in range(3):
        gc.collect()
    print(len(known) > 20, set(system._module_locks) - known)
    portable.leave()
    for _ in range(3):
        gc.collect()
    print(system._get_module_lock is theirs, len(system._module_locks))
    """
    assert run(tmp_path, PYPY, code) == ["True {'colorsys'}", "True 0"]


@interpreters
def test_leaving_gives_everything_back(tmp_path: Path, python: str) -> None:
    """After `leave` no profile function of ours is in any slot, and one can join again."""
    code = """
    import sys, threading
    from giltrace.runtime import portable
    def work():
        go.wait()
        len("")
        print(sys.getprofile())
    for _ in range(2):
        go = threading.Event()
        portable.join(sys.argv[1])
        assert sys.getprofile() is not None and threading._profile_hook is not None
        thread = threading.Thread(target=work)
        thread.start()
        portable.leave()
        print(sys.getprofile(), threading._profile_hook)
        go.set()
        thread.join()
    """
    assert run(tmp_path, python, code) == ["None None", "None"] * 2


@interpreters
def test_leaving_while_another_thread_has_the_claim(tmp_path: Path, python: str) -> None:
    """It waits for that thread, but not for ever."""
    code = """
    import sys, threading
    from giltrace.runtime import portable, portable_switches
    def never(me):
        taken.set()
        go.wait()
    def work():
        profile = sys.getprofile()
        sys.setprofile(None)
        portable._switches._exclusively(profile.thread, never)
    for portable_switches._PATIENCE in (3, 10 ** 9):
        taken, go = threading.Event(), threading.Event()
        portable.join(sys.argv[1])
        switches = portable._switches
        thread = threading.Thread(target=work)
        thread.start()
        taken.wait()
        if portable_switches._PATIENCE > 3:
            class Time:
                def __getattr__(self, name):
                    return getattr(time, name)
                def sleep(self, seconds):
                    go.set()
                    time.sleep(seconds)
            time, portable_switches.time = portable_switches.time, Time()
        portable.leave()
        print(switches.current, sys.getprofile(), threading._profile_hook)
        go.set()
        thread.join()
    """
    assert run(tmp_path, python, code) == ["None None None"] * 2


@interpreters
def test_a_thread_that_ran_while_another_had_the_claim(tmp_path: Path, python: str) -> None:
    """It is noticed afterwards, even if it never calls anything again."""
    code = """
    import sys, threading, time
    from giltrace.runtime import portable
    def spin():
        global spinning
        spinning = True
        n = 0
        while not over:
            n += 1
        print(time.thread_time_ns())
    def claimed(me):
        thread.start()
        while not spinning:
            time.sleep(0.001)
    spinning = over = False
    thread = threading.Thread(target=spin, name="spinner")
    profile = sys.getprofile()
    sys.setprofile(None)
    portable._switches._exclusively(profile.thread, claimed)
    sys.setprofile(profile)
    for _ in range(20):
        time.sleep(0.005)
    over = True
    thread.join()
    """
    done = record(tmp_path, python, recorder.script(tmp_path, code))
    assert (done.code, done.err) == (0, "")
    assert check(done.trace) == []
    assert held_ns(done.trace, "spinner") > 0.7 * int(done.out)


@interpreters
def test_the_name_of_a_thread_that_is_alone(tmp_path: Path, python: str) -> None:
    """A new one is told without a hand-off, and when it ends it keeps it."""
    code = """
    import threading, time
    def work():
        for _ in range(20):
            time.sleep(0.001)
        threading.current_thread().name = "second"
        for _ in range(20):
            time.sleep(0.01)
    thread = threading.Thread(target=work, name="first")
    thread.start()
    thread.join()
    """
    done = record(tmp_path, python, recorder.script(tmp_path, code))
    assert (done.code, done.err) == (0, "")
    assert [info.name for info in done.capture.thread_names] == ["second"]
