"""How each GIL and each thread fared, in one row of numbers each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from giltrace.model.dense import by_thread, gather, pieces, sums
from giltrace.model.handoffs import handed_off
from giltrace.model.offgil import stretches
from giltrace.model.tables import I8, Cause, Gil
from giltrace.model.trace import Trace


@dataclass(frozen=True, slots=True)
class GilSummary:
    """One GIL.

    Attributes:
        gil: index into ``trace.gils``.
        wall_ns: how long it was watched.
        held_ns: for how long someone held it.
        utilisation: held/wall, 0 to 1.
        contention: time with at least one waiter/wall, 0 to 1.
        wait_ns: the waits of all threads together; with several waiters at once more than wall.
        acquires: holds; one that had begun before the recording counts too.
        releases: holds that ended, by any cause.
        handoffs: releases that were followed by another thread's acquire.
        forced: releases by cause; likewise ``voluntary`` and ``unknown``.
        voluntary: see ``forced``.
        unknown: see ``forced``.
        waits: contended acquires.
        drop_requests: drop requests of all waiters.
    """

    gil: int
    wall_ns: int
    held_ns: int
    utilisation: float
    contention: float
    wait_ns: int
    acquires: int
    releases: int
    handoffs: int
    forced: int
    voluntary: int
    unknown: int
    waits: int
    drop_requests: int


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One thread, over all GILs that it used.

    Attributes:
        thread: index into ``trace.threads``.
        acquires: its holds.
        hold_ns: for how long it held a GIL.
        wait_ns: for how long it waited for one.
        off_gil_ns: for how long it did neither, between a release and its next request.
        waits: its contended acquires.
        wait_p50_ns: half of its waits took no longer; a wait that really was, 0 without any.
        wait_p99_ns: 99 in 100 of its waits took no longer; likewise.
        wait_max_ns: its longest wait.
        forced_out: its releases that were forced.
    """

    thread: int
    acquires: int
    hold_ns: int
    wait_ns: int
    off_gil_ns: int
    waits: int
    wait_p50_ns: int
    wait_p99_ns: int
    wait_max_ns: int
    forced_out: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All GILs and all threads, in the order of the trace."""

    gils: tuple[GilSummary, ...]
    threads: tuple[ThreadSummary, ...]


def summarise(trace: Trace) -> Summary:
    """The numbers of every GIL and every thread, idle ones included."""
    handed = np.flatnonzero(handed_off(trace.holds))
    handoffs = np.bincount(trace.holds.gil[handed], minlength=len(trace.gils)).tolist()
    requests = np.bincount(trace.drop_requests.gil, minlength=len(trace.gils)).tolist()
    gils = (
        _gil_summary(trace, gil, handoffs=handoffs[gil.index], drop_requests=requests[gil.index])
        for gil in trace.gils
    )
    return Summary(tuple(gils), tuple(_thread_summaries(trace)))


def percentile(ascending: I8, percent: int) -> int:
    """The smallest value that ``percent`` in 100 do not exceed: one of the values, never a mix.

    Args:
        ascending: sorted values, at least one.
        percent: 1 to 100.
    """
    return int(ascending[-(-len(ascending) * percent // 100) - 1])


def covered_ns(start: I8, end: I8) -> int:
    """The length of the union of intervals that are sorted by start."""
    if len(start) == 0:
        return 0
    reach = np.maximum.accumulate(end)
    # What each one adds to what those before it have covered.
    added = end[1:] - np.maximum(start[1:], reach[:-1])
    return int(end[0] - start[0]) + int(added[added > 0].sum())


def _gil_summary(trace: Trace, gil: Gil, *, handoffs: int, drop_requests: int) -> GilSummary:
    holds, waits = trace.holds, trace.waits
    held, waited = trace.holds_of(gil.index), trace.waits_of(gil.index)
    held_ns = _total(holds.start[held], holds.end[held])
    contended_ns = covered_ns(waits.start[waited], waits.end[waited])
    causes = np.bincount(holds.cause[held], minlength=len(Cause)).tolist()
    return GilSummary(
        gil=gil.index,
        wall_ns=gil.wall_ns,
        held_ns=held_ns,
        utilisation=_share(held_ns, gil.wall_ns),
        contention=_share(contended_ns, gil.wall_ns),
        wait_ns=_total(waits.start[waited], waits.end[waited]),
        acquires=held.stop - held.start,
        releases=sum(causes) - causes[Cause.NONE],
        handoffs=handoffs,
        forced=causes[Cause.FORCED],
        voluntary=causes[Cause.VOLUNTARY],
        unknown=causes[Cause.UNKNOWN],
        waits=waited.stop - waited.start,
        drop_requests=drop_requests,
    )


def _thread_summaries(trace: Trace) -> Iterator[ThreadSummary]:
    holds, waits, count = trace.holds, trace.waits, len(trace.threads)
    forced = np.flatnonzero(holds.cause == Cause.FORCED)
    columns = (
        np.bincount(holds.thread, minlength=count),
        sums(holds.thread, holds.ns, count),
        sums(waits.thread, waits.ns, count),
        _off_gil_ns(trace),
        np.bincount(holds.thread[forced], minlength=count),
    )
    lengths = gather(waits.ns, by_thread(waits.thread, count))
    ends = np.bincount(waits.thread, minlength=count).cumsum().tolist()
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for thread, (acquires, hold_ns, wait_ns, off_gil_ns, forced_out) in enumerate(rows):
        mine = np.sort(lengths[ends[thread - 1] if thread else 0 : ends[thread]])
        yield ThreadSummary(
            thread=thread,
            acquires=acquires,
            hold_ns=hold_ns,
            wait_ns=wait_ns,
            off_gil_ns=off_gil_ns,
            waits=len(mine),
            wait_p50_ns=percentile(mine, 50) if len(mine) else 0,
            wait_p99_ns=percentile(mine, 99) if len(mine) else 0,
            wait_max_ns=int(mine[-1]) if len(mine) else 0,
            forced_out=forced_out,
        )


def _off_gil_ns(trace: Trace) -> I8:
    """int64 [threads]: without `Trace.off_gil`, which would stay in memory."""
    holds, total = trace.holds, np.zeros(len(trace.threads), np.int64)
    found = stretches(holds, trace.waits, trace.breaks)
    for some in pieces(len(holds)):
        real = found.end[some] >= 0
        hold = found.order[some][real]
        np.add.at(total, holds.thread[hold], found.end[some][real] - holds.end[hold])
    return total


def _total(start: I8, end: I8) -> int:
    return int(end.sum()) - int(start.sum())


def _share(part_ns: int, wall_ns: int) -> float:
    return part_ns / wall_ns if wall_ns > 0 else 0.0
