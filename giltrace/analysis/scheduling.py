"""What the kernel did with each thread, above all while it held the GIL or was given it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from giltrace.model.dense import sums
from giltrace.model.scheduling import Scheduled, time_in
from giltrace.model.tables import I8
from giltrace.model.trace import Trace


@dataclass(frozen=True, slots=True)
class ThreadScheduling:
    """One thread. All as far as it is on record.

    Attributes:
        thread: index into ``trace.threads``.
        on_cpu_ns: it ran.
        runnable_ns: it could run and had no CPU.
        sleeping_ns: it waited for something; without wake-ups on record, until it ran again.
        turns: how often it was put on a CPU.
        held_runnable_ns: as `runnable_ns`, while it held a GIL.
        held_sleeping_ns: as `sleeping_ns`, while it held a GIL.
        gap_off_cpu_ns: it waited for a GIL that nobody held any more, and was not on a CPU to take
            it: the part of its hand-off gaps that was the kernel's.
    """

    thread: int
    on_cpu_ns: int
    runnable_ns: int
    sleeping_ns: int
    turns: int
    held_runnable_ns: int
    held_sleeping_ns: int
    gap_off_cpu_ns: int


def scheduling(trace: Trace) -> list[ThreadScheduling]:
    """Each thread of which there is anything on record, in the order of the trace."""
    spans, count = trace.scheduling, len(trace.threads)
    keys = spans.thread.astype(np.int64) * len(Scheduled) + spans.state
    ns = sums(keys, spans.ns, count * len(Scheduled)).reshape(-1, len(Scheduled))
    on_cpu = spans.thread[spans.state == Scheduled.ON_CPU]
    turns = np.bincount(on_cpu, minlength=count)
    runnable, sleeping = (_held(trace, state) for state in (Scheduled.RUNNABLE, Scheduled.SLEEPING))
    gaps = _gaps_off_cpu(trace)
    return [
        ThreadScheduling(
            thread=one,
            on_cpu_ns=int(ns[one, Scheduled.ON_CPU]),
            runnable_ns=int(ns[one, Scheduled.RUNNABLE]),
            sleeping_ns=int(ns[one, Scheduled.SLEEPING]),
            turns=int(turns[one]),
            held_runnable_ns=int(runnable[one]),
            held_sleeping_ns=int(sleeping[one]),
            gap_off_cpu_ns=int(gaps[one]),
        )
        for one in np.unique(spans.thread).tolist()
    ]


def _held(trace: Trace, state: Scheduled) -> I8:
    """int64 [threads]: time in a state while holding a GIL."""
    holds = trace.holds
    ns, _known = time_in(trace.scheduling, holds.thread, holds.start, holds.end, state)
    return sums(holds.thread, ns, len(trace.threads))


def _gaps_off_cpu(trace: Trace) -> I8:
    """int64 [threads]: time in hand-off gaps of their own waits in which they were on no CPU."""
    holds, waits = trace.holds, trace.waits
    granted = np.flatnonzero(waits.hold > 0)
    hold = waits.hold[granted]
    follows = holds.gil[hold - 1] == holds.gil[hold]
    granted, hold = granted[follows], hold[follows]
    thread, end = waits.thread[granted], waits.end[granted]
    free = np.minimum(np.maximum(waits.start[granted], holds.end[hold - 1]), end)
    on_cpu, known = time_in(trace.scheduling, thread, free, end)
    return sums(thread, np.where(known, end - free - on_cpu, 0), len(trace.threads))
