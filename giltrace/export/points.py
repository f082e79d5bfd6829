"""A trace as points in time: what every timeline format has to walk through, in order.

A point is an instant at which something changes on a GIL. Slices, arrows and counters of an output
format all begin and end at points, so each exporter only says what a point of a kind looks like.

Points come in batches of bounded size, sorted by time. Among points of the same instant the order
is the one in which things happened: per GIL that of the tenures, per thread that of the program.
So a slice of no length begins before it ends, and one ends before the next begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from giltrace.export.rows import chunks
from giltrace.model.dense import rows_of
from giltrace.model.tables import I8, U1, Bool

if TYPE_CHECKING:
    from giltrace.model import Trace

STEP: Final = 1 << 13
"""Points per source and kind in one batch, more or less: a batch then is a few megabytes."""

_FOREVER: Final = np.iinfo(np.int64).max


class Kind(IntEnum):
    """What happens at a point."""

    WAIT = 0
    """A thread begins to wait. ``ref``: index of the wait; ``value``: waiters from now on."""
    ACQUIRE = 1
    """``ref``: index of the hold; ``value``: waiters from now on."""
    RELEASE = 2
    """``ref``: index of the hold; ``value``: waiters from now on."""
    GIVE_UP = 3
    """A wait ends with no acquire. ``ref``: index of the wait; ``value``: waiters from now on."""
    DROP_REQUEST = 4
    """``ref``: index of the drop request."""
    UTILISATION = 5
    """``ref``: index of the GIL; ``value``: percent held from now until the next such point."""
    ENTER = 6
    """A Python function begins. ``ref``: index of the function span."""
    LEAVE = 7
    """It ends. ``ref``: index of the function span."""


@dataclass(frozen=True, slots=True)
class Points:
    """A batch of points.

    Attributes:
        ts: int64 [n] ns.
        kind: uint8 [n], a `Kind`.
        ref: int64 [n], see `Kind`.
        value: int64 [n], see `Kind`.
    """

    ts: I8
    kind: U1
    ref: I8
    value: I8

    def __len__(self) -> int:
        return len(self.ts)


_NONE = np.zeros(0, np.int64)
_NOTHING: Final = Points(_NONE, np.zeros(0, np.uint8), _NONE, _NONE)


class Source(Protocol):
    """Something that yields points."""

    def boundaries(self, step: int) -> I8:
        """Times between which there are about ``step`` points of each kind."""

    def take(self, start_ns: int, end_ns: int) -> Points:
        """The points of ``start_ns <= ts < end_ns``, in order."""


def walk(sources: Sequence[Source], *, step: int = STEP) -> Iterator[Points]:
    """All points of ``sources`` in order, batch by batch."""
    marks = [source.boundaries(step) for source in sources]
    start = -_FOREVER
    for end in [*np.unique(np.concatenate([_NONE, *marks])).tolist(), _FOREVER]:
        batch = _merge([source.take(start, end) for source in sources])
        if len(batch):
            yield batch
        start = end


def turns(trace: Trace) -> list[Source]:
    """Waits, acquires, releases and drop requests of all GILs."""
    return [_Turns(trace, gil.index) for gil in trace.gils]


def utilisation(trace: Trace) -> list[Source]:
    """How much of its time each GIL was held, at regular intervals."""
    return [_Utilisation(trace, gil.index) for gil in trace.gils]


def functions(trace: Trace) -> list[Source]:
    """Where Python functions begin and end, if that was recorded."""
    threads = np.unique(trace.spans.thread).tolist()
    return [_Functions(trace, thread) for thread in threads]


def _merge(parts: list[Points]) -> Points:
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _NOTHING
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("ts", "kind", "ref", "value")
    ]
    # Stable: each part is in order already, and so it stays.
    order = np.argsort(columns[0], kind="stable")
    return Points(*(column[order] for column in columns))


class _Turns:
    """Waits, acquires, releases and drop requests of one GIL."""

    def __init__(self, trace: Trace, gil: int) -> None:
        (self._hold0, hold1), (self._wait0, wait1), (self._drop0, drop1) = (
            rows_of(table.gil, gil) for table in (trace.holds, trace.waits, trace.drop_requests)
        )
        self._starts = trace.holds.start[self._hold0 : hold1]
        self._ends = trace.holds.end[self._hold0 : hold1]
        self._wait_starts = trace.waits.start[self._wait0 : wait1]
        self._wait_ends = trace.waits.end[self._wait0 : wait1]
        self._wait_holds = trace.waits.hold[self._wait0 : wait1]
        self._drops = trace.drop_requests.ts[self._drop0 : drop1]
        self._waited = np.zeros(len(self._starts), np.bool_)
        vain = [_NONE]
        for part in chunks(len(self._wait_holds)):
            hold = self._wait_holds[part]
            self._waited[hold[hold >= 0] - self._hold0] = True
            vain.append(part.start + np.flatnonzero(hold < 0))
        given_up = np.concatenate(vain)
        self._given_up = given_up[np.argsort(self._wait_ends[given_up], kind="stable")]
        self._given_up_ns = self._wait_ends[self._given_up]
        self._waiters = 0
        columns = (self._starts, self._ends, self._wait_starts, self._given_up_ns, self._drops)
        self._first_ns = min((int(column[0]) for column in columns if len(column)), default=0)
        self._last_ns = max((int(column[-1]) for column in columns if len(column)), default=-1)

    def boundaries(self, step: int) -> I8:
        """See `Source`."""
        columns = (self._starts, self._wait_starts, self._drops)
        return np.concatenate([column[step::step] for column in columns])

    def take(self, start_ns: int, end_ns: int) -> Points:
        """See `Source`; to be asked for one time after the other, for it counts the waiters."""
        if end_ns <= self._first_ns or start_ns > self._last_ns:
            return _NOTHING  # a recording may have hundreds of processes, one after the other
        span = [start_ns, end_ns]
        waits = np.arange(*np.searchsorted(self._wait_starts, span))
        acquires = np.arange(*np.searchsorted(self._starts, span))
        releases = np.arange(*np.searchsorted(self._ends, span))
        given_up = self._given_up[slice(*np.searchsorted(self._given_up_ns, span))]
        drops = np.arange(*np.searchsorted(self._drops, span))
        waited = self._waited[acquires].astype(np.int64)
        parts = (
            # kind, times, ranks, rows in the table, change of the number of waiters
            (Kind.WAIT, self._wait_starts[waits], self._wait_rank(waits), waits + self._wait0, 1),
            (Kind.ACQUIRE, self._starts[acquires], 8 * acquires, acquires + self._hold0, -waited),
            (Kind.RELEASE, self._ends[releases], 8 * releases + 4, releases + self._hold0, 0),
            (
                Kind.GIVE_UP,
                self._wait_ends[given_up],
                self._give_up_rank(given_up),
                given_up + self._wait0,
                -1,
            ),
            (Kind.DROP_REQUEST, self._drops[drops], 0 * drops, drops + self._drop0, 0),
        )
        counts = [len(part[1]) for part in parts]
        kind = np.repeat(np.array([part[0] for part in parts], np.uint8), counts)
        ts, rank, ref = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
        change = np.concatenate([np.broadcast_to(part[4], len(part[1])) for part in parts])
        order = np.lexsort((ref, rank, ts))
        value = self._waiters + np.cumsum(change[order])
        self._waiters += int(change.sum())
        return Points(ts[order], kind[order], ref[order], value)

    # Ranks order the points of one instant. Hold i begins at 8i and ends at 8i + 4. What a thread
    # did before comes before; so a wait is right before the hold that it led to, and one that led
    # to none is behind all holds that are over. Nothing that a thread does at the end of a wait in
    # vain comes before that end, unless the wait began at the same instant.

    def _wait_rank(self, waits: I8) -> I8:
        hold = self._wait_holds[waits]
        rank = 8 * (hold - self._hold0) - 1
        vain = np.flatnonzero(hold < 0)
        if len(vain):
            rank[vain] = self._vain_rank(waits[vain])
        return rank

    def _give_up_rank(self, waits: I8) -> I8:
        lasted = self._wait_ends[waits] > self._wait_starts[waits]
        return np.where(lasted, -8, self._vain_rank(waits))

    def _vain_rank(self, waits: I8) -> I8:
        start, end = self._wait_starts[waits], self._wait_ends[waits]
        # Those of no length begin and end at the same rank, one after the other.
        return 8 * np.searchsorted(self._ends, start, "right") - np.where(end > start, 1, 2)


class _Utilisation:
    """How much of its time one GIL was held, in percent, at regular intervals."""

    def __init__(self, trace: Trace, gil: int) -> None:
        self._gil = gil
        hold0, hold1 = rows_of(trace.holds.gil, gil)
        starts, ends = trace.holds.start[hold0:hold1], trace.holds.end[hold0:hold1]
        info = trace.gils[gil]
        self._ts, self._percent = _NONE, _NONE
        if not len(starts) or info.end_ns <= info.start_ns:
            return
        edges = np.arange(info.start_ns, info.end_ns, _interval_ns(info.end_ns - info.start_ns))
        edges = np.append(edges, info.end_ns)
        held = _held_between(starts, ends, edges)
        self._ts = edges[:-1]
        self._percent = (100 * held + np.diff(edges) // 2) // np.diff(edges)

    def boundaries(self, step: int) -> I8:
        """See `Source`."""
        return self._ts[step::step]

    def take(self, start_ns: int, end_ns: int) -> Points:
        """See `Source`."""
        here = slice(*np.searchsorted(self._ts, [start_ns, end_ns]))
        ts = self._ts[here]
        kind = np.full(len(ts), Kind.UTILISATION, np.uint8)
        return Points(ts, kind, np.full(len(ts), self._gil), self._percent[here])


class _Functions:
    """Function spans of one thread: each begins before those inside it, and ends after them."""

    def __init__(self, trace: Trace, thread: int) -> None:
        self._first, end = rows_of(trace.spans.thread, thread)
        self._span, self._leaves = _tour(
            trace.spans.start[self._first : end], trace.spans.end[self._first : end]
        )
        spans = trace.spans
        self._ts = np.where(
            self._leaves, spans.end[self._first + self._span], spans.start[self._first + self._span]
        )

    def boundaries(self, step: int) -> I8:
        """See `Source`."""
        return self._ts[step::step]

    def take(self, start_ns: int, end_ns: int) -> Points:
        """See `Source`."""
        here = slice(*np.searchsorted(self._ts, [start_ns, end_ns]))
        ref = self._first + self._span[here]
        kind = np.where(self._leaves[here], Kind.LEAVE, Kind.ENTER).astype(np.uint8)
        return Points(self._ts[here], kind, ref, np.zeros(len(ref), np.int64))


def _tour(start: I8, end: I8) -> tuple[I8, Bool]:
    """Beginnings and ends of nested spans in the order in which they happen.

    Args:
        start: int64 [n], ascending; of equal ones the outermost is first.
        end: int64 [n].

    Returns:
        int64 [2n] and bool [2n]: which span, and whether it is its end.
    """
    n = len(start)
    number = np.arange(n)
    empty = end == start
    before = np.concatenate(([0], np.cumsum(empty)))
    # Spans without length that begin here, but not before this one: they have not ended yet.
    still = before[np.searchsorted(start, start, "right")] - before[number]
    ended = np.searchsorted(np.sort(end), start, "right") - still
    # Of spans that end at one time the innermost is first, and those without length are last.
    by_end = np.lexsort((np.where(empty, number, -number), empty, end))
    span = np.empty(2 * n, np.int64)
    leaves = np.ones(2 * n, np.bool_)
    leaves[number + ended] = False
    span[~leaves] = number
    span[leaves] = by_end
    return span, leaves


def _interval_ns(wall_ns: int) -> int:
    """The smallest of 1 ms, 2 ms, 5 ms, 10 ms ... that makes no more than 2,000 intervals."""
    unit = 1_000_000
    while True:
        for factor in (1, 2, 5):
            if factor * unit * 2_000 >= wall_ns:
                return factor * unit
        unit *= 10


def _held_between(starts: I8, ends: I8, edges: I8) -> I8:
    """int64 [edges - 1]: for how long the GIL was held between each time and the next."""
    # Holds that end before an edge count in full, and the one around it up to the edge.
    ended = np.searchsorted(ends, edges, "right")
    within = np.minimum(ended, len(starts) - 1)
    begun = np.where(ended < len(starts), np.maximum(edges - starts[within], 0), 0)
    whole = [
        int((ends[first:last] - starts[first:last]).sum())
        for first, last in pairwise(ended.tolist())
    ]
    return np.array(whole, np.int64) + np.diff(begun)
