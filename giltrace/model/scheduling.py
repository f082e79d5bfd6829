"""When the kernel ran each thread: rows of a capture to spans, and questions to those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from giltrace.capture.scheduling import CPU_MASK, CPU_SHIFT, TID_SHIFT, WHAT_MASK, What
from giltrace.model.dense import segments
from giltrace.model.mending import CLOCK_SKEW_NS, MAX_NS
from giltrace.model.tables import I1, I4, I8, U1, U8, Bool, Process, Spans, Thread


class Scheduled(IntEnum):
    """What the kernel does with a thread."""

    ON_CPU = 0
    """It runs."""
    RUNNABLE = 1
    """It could run and waits for a CPU: it was preempted or, where that is recorded, woken."""
    SLEEPING = 2
    """It waits for something to happen. Where wake-ups are not recorded, this lasts until it runs
    again, and so includes the time it waits for a CPU then."""


@dataclass(frozen=True, eq=False, slots=True)
class Scheduling(Spans):
    """What the kernel did with threads, sorted by thread and then by start; recorded if asked for.

    Spans of one thread have no time in common. Between two of them there may be time of which
    nothing is known.

    Attributes:
        thread: int32 [n].
        start: int64 [n].
        end: int64 [n].
        state: int8 [n], a `Scheduled`.
        cpu: int32 [n], the CPU it was on; -1 if it was on none.
    """

    thread: I4
    start: I8
    end: I8
    state: I1
    cpu: I4


_OFF: Final = -1
_AFTER: Final = {
    What.RUNS: Scheduled.ON_CPU,
    What.SLEEPS: Scheduled.SLEEPING,
    What.PREEMPTED: Scheduled.RUNNABLE,
    What.WOKEN: Scheduled.RUNNABLE,
    What.STARTED: Scheduled.RUNNABLE,
}
_NO_STATE: Final = -1
_LEAVES: Final = (What.SLEEPS, What.PREEMPTED, What.ENDED)


def scheduling(
    rows: U8, threads: Sequence[Thread], processes: Sequence[Process]
) -> tuple[Scheduling, int]:
    """Spans of all threads, and how many rows were lost.

    Where rows are missing, or contradict each other, there is no span.

    Args:
        rows: uint64 [n, 2], as in `giltrace.capture.scheduling`.
        threads: all threads of the trace.
        processes: all processes of the trace.
    """
    # A time beyond 63 bits is negative as a signed number.
    ts = rows[:, 0].astype(np.int64)
    sane = (ts >= 0) & (ts <= MAX_NS)
    rows, ts = rows[sane], ts[sane]
    what = (rows[:, 1] & np.uint64(WHAT_MASK)).astype(np.uint8)
    cpu = (rows[:, 1] >> np.uint64(CPU_SHIFT) & np.uint64(CPU_MASK)).astype(np.int32)
    tid = (rows[:, 1] >> np.uint64(TID_SHIFT)).astype(np.int64)
    lost = int(tid[what == What.LOST].sum())
    blind = _blind(ts, what, cpu)
    known = np.flatnonzero((what >= What.RUNS) & (what <= What.ENDED))
    order = known[np.lexsort((ts[known], tid[known]))]
    ts, what, cpu, tid = ts[order], what[order], cpu[order], tid[order]
    at, thread = _owned(ts, what, tid, threads)
    spans = _spans(ts[at], what[at], cpu[at], thread, _Windows(threads, processes))
    return _seen(spans, blind), lost


def time_in(
    scheduling: Scheduling, thread: I4, start: I8, end: I8, state: Scheduled = Scheduled.ON_CPU
) -> tuple[I8, Bool]:
    """How much of some stretches of time their threads were in a state.

    Args:
        scheduling: of the trace.
        thread: int32 [n], whose stretch each is.
        start: int64 [n], when it begins.
        end: int64 [n], when it ends; not before that.
        state: which state.

    Returns:
        int64 [n] ns, and bool [n]: all of the stretch is on record, but for what clocks differ.
    """
    ns, known = np.zeros(len(thread), np.int64), np.zeros(len(thread), np.int64)
    highest = int(max(thread.max(initial=-1), scheduling.thread.max(initial=-1))) + 1
    bounds = segments(scheduling.thread, highest)
    order = np.argsort(thread, kind="stable")
    asked = segments(thread[order], highest)
    for one in np.flatnonzero((np.diff(bounds) > 0) & (np.diff(asked) > 0)).tolist():
        spans = slice(int(bounds[one]), int(bounds[one + 1]))
        mine = order[asked[one] : asked[one + 1]]
        length = scheduling.end[spans] - scheduling.start[spans]
        for counted, to in ((length * (scheduling.state[spans] == state), ns), (length, known)):
            before = np.concatenate((np.zeros(1, np.int64), np.cumsum(counted)))
            share = [
                _until(when[mine], scheduling.start[spans], length, counted, before)
                for when in (start, end)
            ]
            to[mine] = share[1] - share[0]
    return ns, known >= end - start - CLOCK_SKEW_NS


def _until(when: I8, start: I8, length: I8, counted: I8, before: I8) -> I8:
    """int64: how much of the spans, which count in full or not at all, is over at each time."""
    at = np.searchsorted(start, when, side="right") - 1
    span = np.maximum(at, 0)
    in_it = np.where(counted[span] > 0, np.minimum(when - start[span], length[span]), 0)
    found: I8 = np.where(at >= 0, before[span] + in_it, 0)
    return found


class _Windows:
    """Between which times each thread can have spans."""

    def __init__(self, threads: Sequence[Thread], processes: Sequence[Process]) -> None:
        mine = [processes[thread.process] for thread in threads]
        self.start = np.array([process.start_ns for process in mine], np.int64)
        self.end = np.array([process.end_ns for process in mine], np.int64)
        self.seen = np.array([thread.start_ns for thread in threads], np.int64)


def _owned(ts: I8, what: U1, tid: I8, threads: Sequence[Thread]) -> tuple[I8, I4]:
    """Which rows, sorted by id and time, belong to which thread; by thread and time.

    Ids are used again. A thread's rows begin where it was started, the last time before it was
    first seen, and end where it ended.
    """
    by_tid: defaultdict[int, list[Thread]] = defaultdict(list)
    for thread in threads:
        by_tid[thread.tid].append(thread)
    found: dict[int, I8] = {}
    for number, sharing in by_tid.items():
        first, last = np.searchsorted(tid, [number, number + 1]).tolist()
        if number <= 0 or first == last:
            continue
        sharing.sort(key=lambda thread: thread.start_ns)
        rows, shared = slice(first, last), len(sharing) > 1
        starts = np.flatnonzero(what[rows] == What.STARTED) + first
        ends = np.append(np.flatnonzero(what[rows] == What.ENDED) + first + 1, last)
        births = [_birth(ts, starts, thread, rows, shared=shared) for thread in sharing]
        for thread, birth, until in zip(sharing, births, [*births[1:], last], strict=True):
            death = int(ends[min(int(np.searchsorted(ends, birth, side="right")), len(ends) - 1)])
            found[thread.index] = np.arange(birth, max(birth, min(until, death)))
    ordered = sorted(found)
    at = np.concatenate([np.zeros(0, np.int64), *(found[index] for index in ordered)])
    counts = [len(found[index]) for index in ordered]
    return at, np.repeat(np.array(ordered, np.int32), counts)


def _birth(ts: I8, starts: I8, thread: Thread, rows: slice, *, shared: bool) -> int:
    """The first row of a thread, whose id has these rows; ``starts`` are those of new threads."""
    before = int(np.searchsorted(ts[starts], thread.start_ns + CLOCK_SKEW_NS, side="right"))
    if before:
        return int(starts[before - 1])
    # It was there before recording began.
    later = int(np.searchsorted(ts[rows], thread.start_ns)) if shared else 0
    return int(rows.start) + later


def _spans(ts: I8, what: U1, cpu: I4, thread: I4, windows: _Windows) -> Scheduling:
    """Each row to the next one of its thread, where the two fit together."""
    same = np.zeros(max(0, len(ts) - 1), np.bool_)
    np.equal(thread[1:], thread[:-1], out=same)
    real = what != What.WOKEN
    real[1:] |= (what[:-1] == What.SLEEPS) & same
    ts, what, cpu, thread = ts[real], what[real], cpu[real], thread[real]
    goes_on = np.zeros(len(ts) + 1, np.bool_)  # from the row before each, and behind the last
    np.equal(thread[1:], thread[:-1], out=goes_on[1:-1])
    table = np.full(WHAT_MASK + 1, _NO_STATE, np.int8)
    table[list(_AFTER)] = list(_AFTER.values())
    state = table[what]
    leaves = np.isin(what, _LEAVES)
    end = windows.end[thread]
    end[goes_on[1:]] = ts[np.flatnonzero(goes_on[1:]) + 1]
    # On a CPU one leaves it next; off it, one is put on one next, or woken first.
    fits = np.ones(len(ts), np.bool_)
    np.equal((state == Scheduled.ON_CPU)[:-1], leaves[1:], out=fits[:-1])
    kept = (state != _NO_STATE) & (fits | ~goes_on[1:])
    # Who leaves a CPU first of all was on it until then.
    first = leaves & ~goes_on[:-1]
    since = np.maximum(windows.start, windows.seen)[thread[first]]
    states = np.concatenate((np.full(np.count_nonzero(first), Scheduled.ON_CPU), state[kept]))
    spans = Scheduling(
        np.concatenate((thread[first], thread[kept])),
        np.concatenate((since, ts[kept])),
        np.concatenate((ts[first], end[kept])),
        states.astype(np.int8),
        np.where(states == Scheduled.ON_CPU, np.concatenate((cpu[first], cpu[kept])), _OFF),
    )
    return _clipped(spans, windows)


def _clipped(spans: Scheduling, windows: _Windows) -> Scheduling:
    """Spans in their order, and within the time that their process was watched."""
    start = np.maximum(spans.start, windows.start[spans.thread])
    end = np.minimum(spans.end, windows.end[spans.thread])
    some = np.flatnonzero(start < end)
    some = some[np.lexsort((start[some], spans.thread[some]))]
    thread, state, cpu = spans.thread[some], spans.state[some], spans.cpu[some]
    return Scheduling(thread, start[some], end[some], state, cpu.astype(np.int32))


def _blind(ts: I8, what: U1, cpu: I4) -> dict[int, tuple[I8, I8]]:
    """For each CPU of which rows were lost: stretches in which they were, ascending and apart."""
    found = {}
    for one in np.unique(cpu[what == What.LOST]).tolist():
        mine = np.flatnonzero(cpu == one)
        lost = np.flatnonzero(what[mine] == What.LOST)
        until = np.maximum.accumulate(ts[mine[lost]])
        since = np.where(lost > 0, ts[mine[np.maximum(lost - 1, 0)]], 0)
        found[one] = _apart(since, until)
    return found


def _apart(since: I8, until: I8) -> tuple[I8, I8]:
    """Stretches as others that cover the same, ascending and apart."""
    order = np.argsort(since, kind="stable")
    since, until = since[order], np.maximum.accumulate(until[order])
    opens = np.ones(len(since), np.bool_)
    opens[1:] = since[1:] > until[:-1]
    closes = np.append(opens[1:], np.ones(min(1, len(since)), np.bool_))
    return since[opens], until[closes]


def _seen(spans: Scheduling, blind: dict[int, tuple[I8, I8]]) -> Scheduling:
    """The spans during which nothing can have happened that was lost.

    Who is on a CPU can only leave it there; who is not may be put on any.
    """
    if not blind:
        return spans
    hidden = np.zeros(len(spans), np.bool_)
    on_cpu = spans.state == Scheduled.ON_CPU
    for cpu, (since, until) in blind.items():
        hidden |= _meets(spans, since, until) & (~on_cpu | (spans.cpu == cpu))
    kept = ~hidden
    return Scheduling(
        spans.thread[kept], spans.start[kept], spans.end[kept], spans.state[kept], spans.cpu[kept]
    )


def _meets(spans: Scheduling, since: I8, until: I8) -> Bool:
    """Bool [n]: whether each span has time in common with one of these stretches."""
    at = np.searchsorted(until, spans.start, side="right")
    after = np.minimum(at, len(since) - 1)
    meets: Bool = (at < len(since)) & (since[after] < spans.end)
    return meets
