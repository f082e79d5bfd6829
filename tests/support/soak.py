"""A program that does a bit of everything at once, again and again, and checks what comes of it.

    python -m tests.support.soak [--seconds 600] [--policy auto] [--seed 1]

Sockets, computing, locks, threads that come and go, garbage, signals and forks. Each round must
give what the first one gave, which runs under CPython's own policy. Ends with exit code 0.
"""

from __future__ import annotations

import argparse
import gc
import os
import queue
import random
import signal
import socket
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable

import giltrace

_PRIORITIES = (-2, -1, 0, 0, 0, 1)


class _Round:
    """One round: the same work each time, in the same pieces."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.results: dict[str, int] = {}
        self._lock = threading.Lock()
        self._counter = 0

    def run(self) -> dict[str, int]:
        """Do it all; what came of each piece."""
        jobs: list[tuple[str, Callable[[int], int]]] = []
        for number in range(3):
            jobs += [
                (f"compute {number}", self._compute),
                (f"echo {number}", self._echo),
                (f"lock {number}", self._count),
                (f"churn {number}", self._churn),
                (f"garbage {number}", self._garbage),
                (f"queue {number}", self._queue),
                (f"native {number}", self._native),
            ]
        jobs.append(("fork", self._fork))
        threads = [
            threading.Thread(target=self._job, args=(name, job, self.random.random()))
            for name, job in jobs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.results | {"counter": self._counter}

    def _job(self, name: str, job: Callable[[int], int], salt: float) -> None:
        if giltrace.policy() != "cpython":
            giltrace.set_priority(_PRIORITIES[int(salt * len(_PRIORITIES))])
        self.results[name] = job(int(salt * 1000))

    def _compute(self, salt: int) -> int:
        total = salt
        for i in range(60_000):
            total = (total * 31 + i) & 0xFFFFFFFF
        return total

    def _echo(self, salt: int) -> int:
        here, there = socket.socketpair()

        def serve() -> None:
            with there:
                while data := there.recv(4096):
                    there.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        total = salt
        with here:
            for i in range(60):
                here.sendall(b"%d" % i)
                total = zlib.crc32(here.recv(4096), total)
            here.shutdown(socket.SHUT_WR)
        server.join()
        return total

    def _count(self, _salt: int) -> int:
        for _ in range(300):
            with self._lock:
                before = self._counter
                time.sleep(0)
                self._counter = before + 1
        return 300

    def _churn(self, salt: int) -> int:
        done: list[int] = []
        for i in range(30):
            thread = threading.Thread(target=lambda i=i: done.append(sum(range(i + salt))))
            thread.start()
            thread.join()
        return sum(done)

    def _garbage(self, salt: int) -> int:
        for _ in range(3):
            for _ in range(300):
                loop: list[object] = []
                loop.append(loop)
            gc.collect()
        return salt

    def _queue(self, salt: int) -> int:
        items: queue.Queue[int | None] = queue.Queue(maxsize=3)
        taken: list[int] = []

        def take() -> None:
            while (item := items.get()) is not None:
                taken.append(item * salt)

        taker = threading.Thread(target=take)
        taker.start()
        for i in range(100):
            items.put(i)
        items.put(None)
        taker.join()
        return sum(taken)

    def _native(self, salt: int) -> int:
        data = bytes(range(256)) * 2000
        return sum(len(zlib.compress(data, 1 + (salt + i) % 6)) for i in range(4))

    def _fork(self, salt: int) -> int:
        codes = []
        for i in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    worker = threading.Thread(target=self._compute, args=(i,))
                    worker.start()
                    worker.join()
                    os._exit((salt + i) % 100)
                finally:
                    os._exit(255)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return sum(codes)


def main() -> int:
    """Run rounds until the time is over; complain about the first that differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--policy", default="auto")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which are meant
    signals = []
    signal.signal(signal.SIGALRM, lambda *_: signals.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    expected = _Round(options.seed).run()
    giltrace.policy(options.policy)
    rounds, end = 0, time.monotonic() + options.seconds
    while rounds == 0 or time.monotonic() < end:
        found = _Round(options.seed).run()
        rounds += 1
        if found != expected:
            sys.stdout.write(f"round {rounds}: {found} where {expected} was expected\n")
            return 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write(
        f"{rounds} rounds under {giltrace.policy()}, {len(signals)} signals: as under cpython\n"
    )
    return 0 if signals else 1


if __name__ == "__main__":
    sys.exit(main())
