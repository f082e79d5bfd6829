"""Blame: on whose hold, and at which line, each wait fell.

A wait is split over the holds of its GIL that it overlaps, in nanoseconds that add up to the wait
exactly. What falls between two holds, while nobody held the GIL, is blamed on nobody: it is the
price of the hand-off itself, mostly the kernel's time to wake the waiter up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from giltrace.model.dense import numbered, segments, sums
from giltrace.model.tables import I4, I8, Columns
from giltrace.model.trace import Trace

GAP: Final = -1
"""In the place of a hold: nobody held the GIL."""

# Parts of waits in memory at once. Many waiters make many parts: each hold counts for all of them.
_PIECE: Final = 1 << 18


@dataclass(frozen=True, eq=False, slots=True)
class Blame(Columns):
    """Parts of waits, by wait, then by time, the gap last. Parts of no length are left out.

    Attributes:
        wait: int64 [n], index into ``trace.waits``.
        hold: int64 [n], index into ``trace.holds``, or `GAP`.
        ns: int64 [n].
    """

    wait: I8
    hold: I8
    ns: I8


class BlameRow(NamedTuple):
    """What one thread's waits owe to one other thread at one place in one call.

    Attributes:
        waiter: thread index.
        holder: thread index; None for the hand-off gap.
        place: where the holder let go; number of a place, 0 for unknown and for the gap. By line
            it is one of those in that line.
        call: in which C call; number of a call, 0 for none, unknown and the gap.
        wait_ns: how long, in all waits together.
        waits: how many waits it took part in.
    """

    waiter: int
    holder: int | None
    place: int
    call: int
    wait_ns: int
    waits: int


@dataclass(frozen=True, slots=True)
class BlamePart:
    """A part of one wait: a hold's index, or `GAP`, and the time it took of the wait."""

    hold: int
    ns: int


@dataclass(frozen=True, slots=True)
class WorstWait:
    """One wait and what it fell on, the largest part first.

    Attributes:
        wait: index into ``trace.waits``.
        ns: its length.
        parts: with ``rest_ns`` they add up to ``ns``.
        rest_ns: what is left to parts that are not listed; 0 unless there are very many.
    """

    wait: int
    ns: int
    parts: tuple[BlamePart, ...]
    rest_ns: int = 0


def blame(trace: Trace, waits: I8 | None = None) -> Blame:
    """Split waits over the holds they fell on.

    With many waiters at a time this is much larger than the trace; `table` needs no such room.

    Args:
        trace: the trace.
        waits: indices of the waits to split, ascending; None for all.
    """
    which = np.arange(len(trace.waits)) if waits is None else waits
    split = _split(trace, which, *_overlaps(trace, which))
    gaps = np.flatnonzero(split.gap)
    # A gap goes after the last part of its wait.
    after = np.searchsorted(split.row, gaps, side="right")
    return Blame(
        wait=which[np.insert(split.row, after, gaps)],
        hold=np.insert(split.hold, after, GAP),
        ns=np.insert(split.ns, after, split.gap[gaps]),
    )


def table(trace: Trace, limit: int | None = None, *, by_line: bool = False) -> list[BlameRow]:
    """Blame by waiter, holder, place and call; the most expensive row first.

    Args:
        trace: the trace.
        limit: how many rows at most; None for all. Many threads can make very many.
        by_line: all places in one line of a function count as one (see `Trace.line_of`).
    """
    places = trace.holds.place
    owners, group = _groups(trace, trace.line_of[places] if by_line else places)
    width = len(owners)
    total = _Total()
    for which, split in _splits(trace):
        waiter = trace.waits.thread[which] * np.int64(width)
        total.add(_sums(waiter[split.row] + group[split.hold], split.ns, split.row))
        gaps = np.flatnonzero(split.gap)
        total.add(_sums(waiter[gaps], split.gap[gaps], gaps))
    found = total.merged()
    waiter, owner = np.divmod(found.key, max(1, width))
    # Groups are numbered by holder, place and call, and the gap comes first.
    order = np.lexsort((owner, waiter, -found.ns))[:limit]
    columns = (waiter, owner, found.ns, found.waits)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    return [_row(thread, owners[number], ns, waits) for thread, number, ns, waits in rows]


def _row(waiter: int, owner: tuple[int | None, int, int], ns: int, waits: int) -> BlameRow:
    holder, place, call = owner
    return BlameRow(waiter, holder, place, call, ns, waits)


def worst_waits(trace: Trace, n: int, *, parts: int = 100) -> list[WorstWait]:
    """The ``n`` longest waits, the longest first, each with what it fell on.

    Args:
        trace: the trace.
        n: how many waits.
        parts: how many parts of each at most; what the others took is in ``rest_ns``.
    """
    lengths = trace.waits.ns
    found = []
    for wait in _longest(lengths, n):
        # One at a time: a wait that lasts for all of a recording meets every hold in it.
        split = blame(trace, np.array([wait]))
        largest = np.argsort(-split.ns, kind="stable")[: max(0, parts)]
        shown = [BlamePart(int(split.hold[i]), int(split.ns[i])) for i in largest]
        ns = int(lengths[wait])
        rest_ns = ns - sum(part.ns for part in shown)
        found.append(WorstWait(wait, ns, tuple(shown), rest_ns))
    return found


def _longest(lengths: I8, n: int) -> list[int]:
    """Indices of the ``n`` greatest, in falling order, the earlier of equals first."""
    if n <= 0 or len(lengths) == 0:
        return []
    threshold = np.partition(lengths, max(0, len(lengths) - n))[max(0, len(lengths) - n)]
    candidates = np.flatnonzero(lengths >= threshold)
    longest: list[int] = candidates[np.argsort(-lengths[candidates], kind="stable")][:n].tolist()
    return longest


@dataclass(frozen=True, slots=True)
class _Split:
    """Some waits, split: for each part the row of its wait, the hold, the time; the gap of each."""

    row: I8
    hold: I8
    ns: I8
    gap: I8


@dataclass(frozen=True, slots=True)
class _Sums:
    """Distinct keys, ascending; the time of each; how many waits had part in it."""

    key: I8
    ns: I8
    waits: I8


def _overlaps(trace: Trace, which: I8) -> tuple[I8, I8]:
    """For each of these waits the first hold that ends after it began, and how many follow.

    Among the holds counted the first and the last may overlap it in part, and some have no length.
    """
    holds, waits = trace.holds, trace.waits
    bounds = segments(waits.gil[which], len(trace.gils))
    first = np.zeros(len(which), np.int64)
    # Whoever acquires in the end is not in one's own way.
    last = waits.hold[which]
    vain = last < 0
    for gil in range(len(trace.gils)):
        mine = slice(int(bounds[gil]), int(bounds[gil + 1]))
        some, known = which[mine], trace.holds_of(gil)
        first[mine] = np.searchsorted(holds.end[known], waits.start[some], "right") + known.start
        end = waits.end[some[vain[mine]]]
        last[mine][vain[mine]] = np.searchsorted(holds.start[known], end) + known.start
    return first, np.maximum(last - first, 0)


def _split(trace: Trace, which: I8, first: I8, count: I8) -> _Split:
    """Split some waits, given what `_overlaps` found."""
    holds, waits = trace.holds, trace.waits
    row = np.repeat(np.arange(len(which)), count)
    hold = np.arange(len(row)) + np.repeat(first - (np.cumsum(count) - count), count)
    start, end = waits.start[which], waits.end[which]
    ns = np.minimum(holds.end[hold], end[row]) - np.maximum(holds.start[hold], start[row])
    real = ns > 0
    if not real.all():
        row, hold, ns = row[real], hold[real], ns[real]
    return _Split(row, hold, ns, end - start - sums(row, ns, len(which)))


def _splits(trace: Trace) -> Iterator[tuple[I8, _Split]]:
    """All waits, split, in pieces of a bounded size."""
    first, count = _overlaps(trace, np.arange(len(trace.waits)))
    ends = np.cumsum(count + 1)
    begin = 0
    while begin < len(ends):
        done = int(ends[begin - 1]) if begin else 0
        # One wait may be longer than a piece should be.
        stop = max(begin + 1, int(np.searchsorted(ends, done + _PIECE, side="right")))
        which = np.arange(begin, stop)
        yield which, _split(trace, which, first[begin:stop], count[begin:stop])
        begin = stop


def _groups(trace: Trace, place: I4) -> tuple[list[tuple[int | None, int, int]], I4]:
    """The distinct (thread, place, call) of holds, and for each hold the number of its own.

    Number 0 is the gap.
    """
    holds, places, calls = trace.holds, max(1, len(trace.places)), max(1, len(trace.calls))
    if len(trace.threads) * places * calls <= np.iinfo(np.int32).max:
        keys, group = numbered(
            (holds.thread * np.int32(places) + place) * np.int32(calls) + holds.call
        )
    else:
        # Each is a 32-bit number, and there are at most 65,536 calls.
        keys, group = numbered(
            (holds.thread * np.int64(places) + place) * np.int64(calls) + holds.call
        )
    group += np.int32(1)
    owners: list[tuple[int | None, int, int]] = [(None, 0, 0)]
    for key in keys.tolist():
        rest, call = divmod(key, calls)
        owners.append((*divmod(rest, places), call))
    return owners, group


def _sums(key: I8, ns: I8, row: I8) -> _Sums:
    """Sum parts by key; ``row`` is the wait of each part, ascending."""
    keys, index = numbered(key)
    # A wait that met one holder at one place several times counts once.
    alone = np.ones(len(row), np.bool_)
    same = row[1:] == row[:-1]
    alone[1:] &= ~same
    alone[:-1] &= ~same
    waits = np.bincount(index[alone], minlength=len(keys))
    met = np.unique(row[~alone] * max(1, len(keys)) + index[~alone])
    waits += np.bincount(met % max(1, len(keys)), minlength=len(keys))
    return _Sums(keys, sums(index, ns, len(keys)), waits)


class _Total:
    """Sums of sums. Merging is put off until it pays, or many keys would be sorted too often."""

    def __init__(self) -> None:
        self._some: list[_Sums] = []
        self._length = 0
        self._merged_length = 0

    def add(self, one: _Sums) -> None:
        """Some more."""
        self._some.append(one)
        self._length += len(one.key)
        if self._length > 2 * max(self._merged_length, _PIECE):
            self.merged()

    def merged(self) -> _Sums:
        """All there is so far."""
        none: I8 = np.zeros(0, np.int64)
        key = np.concatenate([none, *(one.key for one in self._some)])
        keys, index = np.unique(key, return_inverse=True)
        ns = np.concatenate([none, *(one.ns for one in self._some)])
        waits = np.concatenate([none, *(one.waits for one in self._some)])
        total = _Sums(keys, sums(index, ns, len(keys)), sums(index, waits, len(keys)))
        self._some = [total]
        self._length = self._merged_length = len(keys)
        return total
