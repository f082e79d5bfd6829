"""Call stacks: which callers held the GIL while others waited, and paid for letting it go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from giltrace.analysis.findings.overlaps import Overlaps, Parts, granted_of
from giltrace.model.dense import numbered, sums
from giltrace.model.tables import I8
from giltrace.model.trace import Trace


@dataclass(frozen=True, slots=True)
class StackRow:
    """All holds of one thread that ended in one line with the same callers.

    Attributes:
        thread: thread index.
        place: where the first of them ended; number of a place.
        stack: their callers; number of a stack.
        holds: how many there were.
        hold_ns: their length together.
        blamed_ns: for how long others waited meanwhile, all of them together.
        wait_after_ns: for how long the thread itself had to wait to get the GIL back.
    """

    thread: int
    place: int
    stack: int
    holds: int
    hold_ns: int
    blamed_ns: int
    wait_after_ns: int


def table(trace: Trace, limit: int | None = None) -> list[StackRow]:
    """By call stack, what made anybody wait most first; nothing where no callers were recorded.

    Args:
        trace: the trace.
        limit: how many rows at most; None for all.
    """
    holds = trace.holds
    if len(trace.stacks) <= 1:
        return []
    known = np.flatnonzero(holds.stack)
    keys, group = numbered(
        holds.stack[known].astype(np.int64) * len(trace.threads) + holds.thread[known]
    )
    # The innermost frame is the place; the same callers may have called from several lines.
    line = trace.line_of[holds.place[known]]
    keys, group = numbered(group * np.int64(len(trace.places)) + line)
    count = len(keys)
    first = np.zeros(count, np.int64)
    first[group[::-1]] = known[::-1]
    columns = (
        np.bincount(group, minlength=count),
        sums(group, holds.end[known] - holds.start[known], count),
        sums(group, _blamed(trace)[known], count),
        sums(group, _wait_after(trace)[known], count),
    )
    cost = columns[2] + columns[3]
    rows = np.lexsort((-columns[1], -cost))[:limit].tolist()
    return [
        StackRow(
            int(holds.thread[first[row]]),
            int(holds.place[first[row]]),
            int(holds.stack[first[row]]),
            *(int(column[row]) for column in columns),
        )
        for row in rows
    ]


def _blamed(trace: Trace) -> I8:
    """int64 [holds]: for how long others waited during each hold."""
    found = np.zeros(len(trace.holds), np.int64)
    for gil in range(len(trace.gils)):
        here, there = trace.holds_of(gil), trace.waits_of(gil)
        start, end = trace.holds.start[here], trace.holds.end[here]
        waits = trace.waits.start[there], trace.waits.end[there]
        overlaps = Overlaps((start, end), waits, granted_of(trace, there, here.start))
        found[here] = overlaps.laid(Parts(start, end), np.arange(there.stop - there.start))
    return found


def _wait_after(trace: Trace) -> I8:
    """int64 [holds]: the wait that its thread had to go through after each hold; 0 for none."""
    off, found = trace.off_gil, np.zeros(len(trace.holds), np.int64)
    some = off.next_wait >= 0
    wait = off.next_wait[some]
    found[off.hold[some]] = trace.waits.end[wait] - trace.waits.start[wait]
    return found
