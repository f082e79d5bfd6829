"""What each thread did with its time: held, waited, blocked, slept, computed off the GIL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from giltrace.model.calls import OffKind
from giltrace.model.dense import sums
from giltrace.model.trace import Trace


@dataclass(frozen=True, slots=True)
class Activity:
    """One thread. The kinds of `OffKind` add up to its time off the GIL.

    Attributes:
        thread: index into ``trace.threads``.
        blocked_ns: waiting for I/O.
        sleep_ns: letting time pass.
        lock_ns: waiting for other threads.
        native_ns: computing without the GIL.
        switch_ns: made to let go, and not asking again yet.
        unknown_ns: nothing tells.
        not_running_ns: holding a GIL without running: it blocked in C code that keeps the GIL, or
            the kernel ran something else. As far as readings of its CPU clock tell.
    """

    thread: int
    blocked_ns: int
    sleep_ns: int
    lock_ns: int
    native_ns: int
    switch_ns: int
    unknown_ns: int
    not_running_ns: int


def activities(trace: Trace) -> list[Activity]:
    """All threads, in the order of the trace."""
    off, kinds = trace.off_gil, len(OffKind)
    keys = off.thread.astype(np.int64) * kinds + off.kind
    by_kind = sums(keys, off.ns, len(trace.threads) * kinds).reshape(-1, kinds)
    idle = np.maximum(trace.running.not_running_ns, 0)
    not_running = sums(trace.holds.thread, idle, len(trace.threads))
    return [
        Activity(
            thread=thread.index,
            blocked_ns=int(by_kind[thread.index, OffKind.BLOCKED]),
            sleep_ns=int(by_kind[thread.index, OffKind.SLEEP]),
            lock_ns=int(by_kind[thread.index, OffKind.LOCK]),
            native_ns=int(by_kind[thread.index, OffKind.NATIVE]),
            switch_ns=int(by_kind[thread.index, OffKind.SWITCH]),
            unknown_ns=int(by_kind[thread.index, OffKind.UNKNOWN]),
            not_running_ns=int(not_running[thread.index]),
        )
        for thread in trace.threads
    ]
