"""The work that competes with the server: `spin`, `fib`, and two controls.

``spin`` and ``fib`` are the threads of the experiment. The controls tell a convoy from a mere
lack of cores: ``process`` spins under a GIL of its own, ``native`` computes in a thread of the
server's process without holding the GIL. A server slowed down by those lacks a core.

Every load counts its progress, so that a result can also say what the CPU work kept of its own
speed. Iterations are: turns of the loop (spin), calls (fib), rounds of the hash (native).
"""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Callable, List, Protocol, Sequence, Tuple

from giltrace.scenarios import children
from giltrace.scenarios.errors import ScenarioError

KINDS = ("spin", "fib", "process", "native")
"""Kinds of load, the threads of the experiment first."""

FIB_OF = 200
"""The Fibonacci number a fib thread computes, and never gets to the end of."""

_SPIN_STEP = 65_536
_FIB_STEP = 16
_NATIVE_STEP = 50_000
_SAMPLE_NS = 5_000_000
_PATIENCE_S = 10.0
_PARTS = 5

Samples = Sequence[Tuple[int, int]]
"""(CLOCK_MONOTONIC ns, iterations so far) in order, at least about every 5 ms of progress."""


class Load(Protocol):
    """CPU work under way."""

    def stop(self) -> None:
        """End it; harmless when called again."""

    def rates(self, start_ns: int, end_ns: int) -> tuple[float, ...]:
        """Return iterations/s of each worker from one instant to another, once stopped."""


class Progress:
    """How far one worker has come; written by the worker, except for `stopped`.

    Attributes:
        stopped: Set from outside to make the worker return at its next `add`.
        deadline_ns: When it returns by itself: on interpreters where a busy thread lets nobody
            else run, nobody else can stop it.
        samples: See `Samples`.
    """

    __slots__ = ("_next_ns", "deadline_ns", "done", "samples", "stopped")

    def __init__(self, deadline_ns: int | None = None) -> None:
        self.stopped = False
        self.deadline_ns = deadline_ns
        self.done = 0
        now_ns = time.monotonic_ns()
        self.samples: List[Tuple[int, int]] = [(now_ns, 0)]
        self._next_ns = now_ns

    def add(self, iterations: int) -> bool:
        """Count iterations; return whether the worker has to stop."""
        self.done += iterations
        now_ns = time.monotonic_ns()
        late = self.deadline_ns is not None and now_ns >= self.deadline_ns
        over = self.stopped or late
        if over or now_ns >= self._next_ns:
            self.samples.append((now_ns, self.done))
            self._next_ns = now_ns + _SAMPLE_NS
        return over


class _Over(Exception):
    """Unwinds a recursion."""


def spin(progress: Progress) -> None:
    """Run ``while True: n += 1``, and look up once in 65,536 turns."""
    # The test stands before the addition: the loop then ends in an unconditional jump on every
    # version, an instruction at which the interpreter does nothing but heed a drop request.
    n = 0
    while True:
        if n == _SPIN_STEP:
            n = 0
            if progress.add(_SPIN_STEP):
                return
        n += 1


def fib(n: int) -> int:
    """Return the n-th Fibonacci number, the slow way."""
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def fib_counted(n: int, progress: Progress) -> int:
    """`fib`, looking up after each small subtree so that `fib` itself need not count."""
    if n <= _FIB_STEP:
        value = fib(n)
        if progress.add(_FIB_CALLS[n]):
            raise _Over
        return value
    return fib_counted(n - 1, progress) + fib_counted(n - 2, progress)


def native(progress: Progress) -> None:
    """Compute without the GIL, in calls of tens of milliseconds.

    PBKDF2 because one call computes for as long as it is told to on a few hundred bytes: it takes
    the GIL once per call, and neither memory nor shared cache becomes a second thing to queue for,
    as it would with zlib or a digest over a large buffer.

    Raises:
        ScenarioError: This interpreter has no OpenSSL.
    """
    pbkdf2 = _pbkdf2()
    while True:
        pbkdf2("sha256", b"giltrace", b"giltrace", _NATIVE_STEP)
        if progress.add(_NATIVE_STEP):
            return


def check_kind(kind: str) -> None:
    """Raise ScenarioError unless there is a load of this kind."""
    if kind not in KINDS:
        raise ScenarioError(
            f"there is no load of kind {kind!r}", "Choose one of: " + ", ".join(KINDS) + "."
        )


def start(kind: str, count: int, deadline_ns: int | None = None) -> Load:
    """Start ``count`` workers of a kind.

    Args:
        kind: One of `KINDS`.
        count: Threads, or processes for ``process``; may be 0.
        deadline_ns: When they end by themselves, on CLOCK_MONOTONIC.

    Raises:
        ScenarioError: There is no such kind, or it cannot run here.
    """
    check_kind(kind)
    if kind == "process":
        return _Processes(count)
    if kind == "native":
        _pbkdf2()
    return Threads(kind, count, deadline_ns)


def unloaded_rate(kind: str, seconds: float) -> float:
    """Measure one worker alone, in a process of its own, for about ``seconds``.

    Returns:
        Iterations per second in the best part of that time, so that neither a cold start nor
        somebody else's work for a moment makes a worker look slow that it is compared with.

    Raises:
        ScenarioError: It did not run.
    """
    thread_kind = "spin" if kind == "process" else kind
    child = _child(thread_kind, str(seconds))
    assert child.stdout is not None
    try:
        samples = _samples(child.stdout.read())
    finally:
        children.end(child)
    return best_rate(samples)


class Threads:
    """Daemon threads ``cpu-1``, ``cpu-2`` and so on."""

    def __init__(self, kind: str, count: int, deadline_ns: int | None = None) -> None:
        self.progress = [Progress(deadline_ns) for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=_WORK[kind], args=(progress,), name=f"cpu-{number}", daemon=True
            )
            for number, progress in enumerate(self.progress, 1)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them at their next look up, and wait for that."""
        for progress in self.progress:
            progress.stopped = True
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def rates(self, start_ns: int, end_ns: int) -> tuple[float, ...]:
        """Return iterations/s of each thread from one instant to another."""
        return tuple(_rate(progress.samples, start_ns, end_ns) for progress in self.progress)


class _Processes:
    """Children that each run one spin thread."""

    def __init__(self, count: int) -> None:
        self._samples: list[Samples] = []
        self._children: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(count):
                self._children.append(_child("spin"))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        while self._children:
            self._samples.append(_samples(children.end(self._children.pop())))

    def rates(self, start_ns: int, end_ns: int) -> tuple[float, ...]:
        return tuple(_rate(samples, start_ns, end_ns) for samples in self._samples)


def _child(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a process with one load thread; return once that runs."""
    child = children.python("giltrace.scenarios.burn", *arguments)
    assert child.stdout is not None
    try:
        child.stdout.readline()
    except BaseException:
        children.end(child)
        raise
    return child


def _samples(output: bytes) -> Samples:
    samples: Samples = children.parse(output, "the load")["samples"]
    return samples


def _run_fib(progress: Progress) -> None:
    try:
        while True:
            fib_counted(FIB_OF, progress)
    except _Over:
        pass


_WORK = {"spin": spin, "fib": _run_fib, "native": native}


def _fib_calls() -> tuple[int, ...]:
    calls = [1, 1]
    while len(calls) <= _FIB_STEP:
        calls.append(calls[-1] + calls[-2] + 1)
    return tuple(calls)


_FIB_CALLS = _fib_calls()


def _pbkdf2() -> Callable[[str, bytes, bytes, int], bytes]:
    # Not the name in hashlib: up to 3.11 that may be pure Python, which holds the GIL throughout.
    try:
        from _hashlib import pbkdf2_hmac
    except ImportError:
        raise ScenarioError(
            "the native load needs OpenSSL, which this interpreter was built without",
            "Use the load kind 'process' as the control instead.",
        ) from None
    return pbkdf2_hmac


def best_rate(samples: Samples) -> float:
    """Return iterations/s in the fastest fifth of the time."""
    start_ns, end_ns = samples[0][0], samples[-1][0]
    cuts = [start_ns + (end_ns - start_ns) * i // _PARTS for i in range(_PARTS + 1)]
    return max(_rate(samples, cuts[i], cuts[i + 1]) for i in range(_PARTS))


def _rate(samples: Samples, start_ns: int, end_ns: int) -> float:
    """Return iterations/s between two instants, interpolating between samples."""
    if end_ns <= start_ns:
        return 0.0
    return (_done_at(samples, end_ns) - _done_at(samples, start_ns)) * 1e9 / (end_ns - start_ns)


def _done_at(samples: Samples, ts_ns: int) -> float:
    before_ns, before = samples[0]
    if ts_ns <= before_ns:
        return float(before)
    for after_ns, after in samples:
        if after_ns >= ts_ns and after_ns > before_ns:
            return before + (after - before) * (ts_ns - before_ns) / (after_ns - before_ns)
        before_ns, before = after_ns, after
    return float(before)
