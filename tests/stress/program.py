"""A program that does everything at once, chosen by a seed: threads, forks, signals, interpreters.

    python program.py SEED SECONDS REPORT [FOLDER]

Whatever it runs through `counted` is one GIL cycle each; every process appends a line with its id
and how many those were to the file REPORT. With FOLDER it also starts and stops recording itself,
again and again, each time into a file of its own in there.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any

# libc's function lets the GIL go through ctypes: one release and one acquire, no more.
cycle = ctypes.CDLL(None).getppid
INTERVALS = (5e-3, 1e-3, 1e-4, 1e-5)

counts: dict[int, int] = {}  # by thread: each changes its own only
over = threading.Event()
path = ""


def counted(n: int) -> None:
    """Let the GIL go and take it back, n times."""
    me = threading.get_ident()
    for _ in range(n):
        cycle()
        counts[me] = counts.get(me, 0) + 1


def report() -> None:
    """Say how often this process has done so."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{os.getpid()} {sum(counts.values())}\n".encode())
    os.close(fd)


# ---------------------------------------------------------------- activities, one round of each


def compute(rng: random.Random) -> None:
    """Hold the GIL."""
    sum(range(rng.randrange(20_000)))


def call(rng: random.Random) -> None:
    """Let it go often."""
    counted(rng.randrange(200))


def sleep(rng: random.Random) -> None:
    """Let it go for long."""
    time.sleep(rng.random() / 500)
    counted(1)


def compress(rng: random.Random) -> None:
    """Compute without it."""
    zlib.crc32(bytes(rng.randrange(1 << 12, 1 << 18)))
    counted(1)


def answer(rng: random.Random) -> None:
    """Pass a byte through a socket."""
    one, other = socket.socketpair()
    with one, other:
        for _ in range(rng.randrange(20)):
            other.send(b"x")
            one.recv(1)
            counted(1)


def exchange(rng: random.Random) -> None:
    """Pass things to another thread and wait for it."""
    items: queue.Queue[int | None] = queue.Queue(3)

    def work() -> None:
        for item in iter(items.get, None):
            counted(item)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        items.put(rng.randrange(5))
    items.put(None)
    thread.join()


def short_threads(rng: random.Random) -> None:
    """Threads that hardly live."""
    threads = [threading.Thread(target=counted, args=(3,)) for _ in range(rng.randrange(8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def foreign_thread(_rng: random.Random) -> None:
    """A thread that C made and that calls back."""
    libc, routine = ctypes.CDLL(None), ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    call_back = routine(lambda _: counted(2))
    thread = ctypes.c_ulong()
    if libc.pthread_create(ctypes.byref(thread), None, call_back, None) == 0:
        libc.pthread_join(thread, None)


def fork(rng: random.Random) -> None:
    """A child with all that a fork leaves it, which starts a thread, or not, and ends."""
    pid = os.fork()
    if pid == 0:
        counts.clear()
        counted(rng.randrange(30))
        if rng.random() < 0.3:
            thread = threading.Thread(target=counted, args=(10,))
            thread.start()
            thread.join()
        report()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    time.sleep(0.01)


def start(rng: random.Random) -> None:
    """Another program, this one or none in Python."""
    ours = [sys.executable, __file__, str(rng.randrange(1 << 30)), "0", path]
    subprocess.run(ours if rng.random() < 0.5 else ["true"], check=True)


def strike(rng: random.Random) -> None:
    """A signal for the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, rng.choice([signal.SIGUSR1, signal.SIGALRM]))
    time.sleep(rng.random() / 300)


def collect(rng: random.Random) -> None:
    """Garbage in cycles, collected."""
    things: list[Any] = [[n] for n in range(rng.randrange(1000))]
    things.append(things)
    gc.collect()
    counted(1)


def interpret(rng: random.Random) -> None:
    """Another interpreter, with a GIL of its own or with ours."""
    try:
        # From 3.13 on; mypy knows no such module.
        import _interpreters  # type: ignore[import-not-found]
    except ImportError:
        _interpreters = None
    # Each leaves 1.7 MB behind for ever in CPython 3.13.0, recorded or not: a few are enough.
    if _interpreters is None or next(made) >= MOST_INTERPRETERS:
        time.sleep(0.01)
        return
    other = _interpreters.create(rng.choice(["isolated", "legacy"]))
    _interpreters.exec(other, "import time\nfor _ in range(20): time.sleep(0)")
    _interpreters.destroy(other)


MOST_INTERPRETERS = 3
made = itertools.count()

ACTIVITIES: tuple[Callable[[random.Random], None], ...] = (
    *(compute, call, sleep, compress, answer, exchange, short_threads, foreign_thread),
    *(fork, start, strike, collect, interpret),
)

# ---------------------------------------------------------------- recording itself

numbers = itertools.count()


def recorder(folder: str) -> Callable[[random.Random], None]:
    """The activity of recording this process for a moment."""
    import giltrace
    from giltrace.errors import GiltraceError

    def record(rng: random.Random) -> None:
        """Record what goes on, unless another thread does."""
        recorder = giltrace.Recorder(
            os.path.join(folder, f"{next(numbers)}.giltrace"),
            stacks=rng.choice([1, 4]),
            calls=rng.choice(["off", "io", "all"]),
        )
        try:
            recorder.start()
        except GiltraceError as error:
            if "already" not in str(error):
                raise
            time.sleep(0.02)
            return
        time.sleep(rng.random() / 3)
        recorder.stop()

    return record


# ---------------------------------------------------------------- all of it


def phase(rng: random.Random, further: list[Callable[[random.Random], None]]) -> None:
    """Some activities at once, each in a thread of its own, for a moment."""
    sys.setswitchinterval(rng.choice(INTERVALS))
    signal.setitimer(signal.ITIMER_REAL, *rng.choice([(0, 0), (0.003, 0.003)]))
    over.clear()
    failures: list[tuple[str, BaseException]] = []

    def run(activity: Callable[[random.Random], None], seed: float) -> None:
        mine = random.Random(seed)
        try:
            while not over.is_set():
                activity(mine)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it fails the round
            failures.append((activity.__name__, error))

    work = [*rng.choices(ACTIVITIES, k=rng.randrange(1, 7)), *further]
    if sys.version_info < (3, 12) and foreign_thread in work:
        # A child forked while C's thread gets or leaves its thread state hangs, recorded or not:
        # CPython 3.11 makes HEAD_LOCK anew after it has taken it (Modules/posixmodule.c:
        # PyOS_AfterFork_Child, whose order 3.12 has changed).
        work = [activity for activity in work if activity is not fork]
    if interpret in work:
        # A child forked while there are other interpreters may hang as it clears them: CPython
        # 3.13.0 (Python/pystate.c: _PyInterpreterState_DeleteExceptMain takes HEAD_LOCK twice).
        work = [activity for activity in work if activity is not fork]
    threads = [threading.Thread(target=run, args=(a, rng.random()), name=a.__name__) for a in work]
    for thread in threads:
        thread.start()
    end = time.monotonic() + rng.choice([0.2, 1])
    while time.monotonic() < end:
        counted(1)
        time.sleep(0.005)
    over.set()
    for thread in threads:
        thread.join()
    assert not failures, failures


def main() -> None:
    """Run phases until the time is over."""
    global path
    warnings.simplefilter("ignore")  # of forking with threads, which is what this is about
    rng, seconds, path = random.Random(int(sys.argv[1])), float(sys.argv[2]), sys.argv[3]
    for number in (signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, lambda *_: counted(1))
    further = [recorder(folder) for folder in sys.argv[4:]] * 2
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        phase(rng, further)
    signal.setitimer(signal.ITIMER_REAL, 0)
    counted(10)
    report()


if __name__ == "__main__":
    main()
