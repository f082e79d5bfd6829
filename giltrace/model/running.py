"""Where the CPU time between two readings of a thread's clock went.

Between two readings a thread holds a GIL, waits for one, or is off it. The recorder reads the clock
often enough that whatever lasts for long has readings of its own; what shares them is short. So the
rules for sharing matter little, and these are they:

- A wait uses no CPU.
- Whoever holds a GIL runs: holds get the CPU time first. What is missing is time in which a thread
  held a GIL and did not run.
- What is left goes to the stretches off the GIL, and to those whose call is known to block only if
  there is still something left.

Among pieces of one sort time is shared by length, and no piece gets more than it is long. Where the
record of a thread has a hole, nothing is said about the time between the readings around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from giltrace.model.dense import batches, by_thread, constant, gather, lifted, segments
from giltrace.model.mending import CLOCK_SKEW_NS
from giltrace.model.offgil import requests, stretches
from giltrace.model.scheduling import Scheduled, Scheduling, time_in
from giltrace.model.tables import I1, I4, I8, Bool, Cause, Columns, CpuReadings, Holds, Waits

_T = TypeVar("_T", bound=np.generic)

_ROWS: Final = 1 << 14
_WAIT, _HOLD, _OFF, _IDLE, _HOLE = range(5)


@dataclass(frozen=True, eq=False, slots=True)
class Running(Columns):
    """CPU time, for each hold and for what follows it.

    Attributes:
        not_running_ns: int64 [holds], for how long of the hold its thread did not run; -1 where
            nothing tells.
        off_cpu_ns: int64 [holds], CPU time in the stretch off the GIL after the hold; -1 likewise,
            or if there is no such stretch.
        off_busy_ns: int64 [holds], the same with what the kernel kept from a thread that computes,
            where it says so: it tells one that could not run from one that slept.
    """

    not_running_ns: I8
    off_cpu_ns: I8
    off_busy_ns: I8


def running(holds: Holds, waits: Waits, breaks: I8, cpu: CpuReadings, idle: Bool) -> Running:
    """Split the CPU time of all threads.

    Args:
        holds: all holds.
        waits: all waits.
        breaks: holds after which the record of their thread has a hole.
        cpu: all readings.
        idle: for each call whether it is known to use no CPU.
    """
    if len(cpu) == 0 or len(holds) == 0:
        nothing = constant(-1, len(holds), np.int64)
        return Running(nothing, nothing, nothing)
    not_running = np.full(len(holds), -1, np.int64)
    off_cpu = np.full(len(holds), -1, np.int64)
    for turns, readings, wanted in _batches(holds, waits, breaks, cpu, idle):
        shares = _share(turns, readings)
        hold = turns.hold[wanted]
        real = hold >= 0
        not_running[hold[real]] = shares.not_running()[wanted][real]
        off_cpu[hold[real]] = shares.off(turns.lane)[wanted][real]
    return Running(not_running, off_cpu, off_cpu)


def exact(read: Running, holds: Holds, waits: Waits, breaks: I8, kernel: Scheduling) -> Running:
    """The same, from the kernel's own word where it has one.

    Args:
        read: from readings of clocks.
        holds: all holds.
        waits: all waits.
        breaks: as for `running`.
        kernel: what it did with threads.
    """
    if len(kernel) == 0 or len(holds) == 0:
        return read
    on_cpu, known = time_in(kernel, holds.thread, holds.start, holds.end)
    not_running = np.where(known, np.maximum(holds.ns - on_cpu, 0), read.not_running_ns)
    off = stretches(holds, waits, breaks)
    some = np.flatnonzero(off.end >= 0)
    hold, end = off.order[some], off.end[some]
    thread, start = holds.thread[hold], holds.end[hold]
    on_cpu, known = time_in(kernel, thread, start, end)
    slept, _ = time_in(kernel, thread, start, end, Scheduled.SLEEPING)
    off_cpu = np.array(read.off_cpu_ns)
    off_cpu[hold[known]] = on_cpu[known]
    busy = np.where(on_cpu >= slept, np.maximum(end - start - slept, on_cpu), on_cpu)
    off_busy = np.array(read.off_cpu_ns)
    off_busy[hold[known]] = busy[known]
    return Running(not_running, off_cpu, off_busy)


@dataclass(frozen=True, slots=True)
class _Turns:
    """Holds and waits in vain of some threads, by thread and time. Keys are as from `lifted`.

    Attributes:
        hold: int64 [n], the hold; -1 for a wait in vain.
        lane: int64 [n], the same number for turns of one thread on one GIL.
        bounds: int64 [3n], ascending keys: request, acquire and release of each turn.
        piece: int8 [3n], what the thread does from each of these on.
    """

    hold: I8
    lane: I8
    bounds: I8
    piece: I1


@dataclass(frozen=True, slots=True)
class _Readings:
    """Readings of the same threads.

    Attributes:
        key: int64 [n], ascending.
        cpu_ns: int64 [n].
        goes_on: bool [n], the next one is of the same thread.
    """

    key: I8
    cpu_ns: I8
    goes_on: Bool


def _batches(
    holds: Holds, waits: Waits, breaks: I8, cpu: CpuReadings, idle: Bool
) -> Iterator[tuple[_Turns, _Readings, slice]]:
    """Turns and readings to work on together, and of which of these turns that tells all."""
    low, high = _extent(holds, waits, cpu)
    width = high - low + 1
    threads = 1 + max(int(rows.thread.max(initial=0)) for rows in (holds, waits, cpu))
    order = by_thread(holds.thread, threads)
    bounds = segments(gather(holds.thread, order), threads)
    vain = np.flatnonzero(waits.hold < 0)
    vain = vain[by_thread(waits.thread[vain], threads)]
    vain_bounds = segments(waits.thread[vain], threads)
    cpu_bounds = segments(cpu.thread, threads)
    request = requests(holds, waits)
    after = np.where(idle[holds.call], np.int8(_IDLE), np.int8(_OFF))
    after[holds.cause == Cause.NONE] = _HOLE
    after[breaks] = _HOLE
    for first, last in batches(bounds, width, _ROWS):
        read = slice(int(cpu_bounds[first]), int(cpu_bounds[last]))
        if read.stop - read.start < 2:
            continue
        tried = vain[vain_bounds[first] : vain_bounds[last]]
        turns = np.concatenate((order[bounds[first] : bounds[last]], ~tried))
        if not len(turns):
            continue
        parts = [_Part(slice(0, len(turns)), read, slice(0, len(turns)))]
        if last == first + 1:
            turns, parts = _parts(turns, holds, waits, cpu.ts[read], read.start)
        for part in parts:
            some = turns[part.turns]
            thread = _of_turns(some, holds.thread, waits.thread) - first
            times = (
                _of_turns(some, request, waits.start),
                _of_turns(some, holds.start, waits.end),
                _of_turns(some, holds.end, waits.end),
            )
            at = cpu.thread[part.readings]
            goes_on = np.zeros(len(at), np.bool_)
            np.equal(at[1:], at[:-1], out=goes_on[:-1])
            key = lifted(cpu.ts[part.readings], at - first, low, width)
            yield (
                _in_turn(
                    np.maximum(some, -1),
                    thread,
                    _of_turns(some, holds.gil, waits.gil),
                    [lifted(ts, thread, low, width) for ts in times],
                    _of_turns(some, after, constant(_HOLE, len(waits), np.int8)),
                ),
                _Readings(key, cpu.cpu_ns[part.readings], goes_on),
                part.wanted,
            )


def _of_turns(turns: I8, of_hold: npt.NDArray[_T], of_wait: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """A column for turns: numbers of holds, or if they are below 0 inverted ones of waits."""
    found = of_hold[np.maximum(turns, 0)]
    vain = turns < 0
    found[vain] = of_wait[~turns[vain]]
    return found


class _Part(NamedTuple):
    """Some turns of one thread, with what it takes to share out all their time.

    Attributes:
        turns: slice of its turns.
        readings: slice of all readings.
        wanted: of ``turns``, those of which nothing is cut off.
    """

    turns: slice
    readings: slice
    wanted: slice


def _parts(
    turns: I8, holds: Holds, waits: Waits, read_ns: I8, first: int
) -> tuple[I8, list[_Part]]:
    """The turns of one thread by time, in parts of about `_ROWS`, cut where its clock was read.

    Between two readings nothing can be cut; but they are no further apart than recorders let them
    be, unless the thread was idle.

    Args:
        turns: as for `_of_turns`.
        holds: all holds.
        waits: all waits.
        read_ns: when the clock of the thread was read.
        first: number of the first reading.
    """
    every = len(turns)
    gil = _of_turns(turns, holds.gil, waits.gil)
    # A stretch off one GIL may go on for many turns on another one.
    if every <= _ROWS or (gil != gil[0]).any():
        return turns, [_Part(slice(0, every), slice(first, first + len(read_ns)), slice(0, every))]
    by = _of_turns(turns, holds.start, waits.start)
    if (by[1:] < by[:-1]).any():
        turns = turns[np.argsort(by, kind="stable")]
    # Nothing before the acquire of a turn is later than this.
    acquired = np.maximum.accumulate(_of_turns(turns, holds.start, waits.end))
    parts: list[_Part] = []
    start = 0
    while start < every:
        begin, since = _behind(start, acquired, read_ns)
        stop, end, until = _ahead(start, acquired, read_ns)
        parts.append(
            _Part(
                slice(begin, end),
                slice(first + since, first + until),
                slice(start - begin, stop - begin),
            )
        )
        start = stop
    return turns, parts


def _behind(start: int, acquired: I8, read_ns: I8) -> tuple[int, int]:
    """The turn and the reading from which on all is known of turns from ``start`` on."""
    if not start:
        return 0, 0
    since = max(int(np.searchsorted(read_ns, acquired[start - 1], "right")) - 1, 0)
    return min(start, max(int(np.searchsorted(acquired, read_ns[since])) - 1, 0)), since


def _ahead(start: int, acquired: I8, read_ns: I8) -> tuple[int, int, int]:
    """Where a part ends: behind which turn, and up to which turn and reading it has to know."""
    every = len(acquired)
    # What begins at a reading, though it has no length, belongs to what comes behind it.
    until = int(np.searchsorted(read_ns, acquired[min(start + _ROWS, every - 1)], "right"))
    if until < len(read_ns):
        later = int(np.searchsorted(acquired, read_ns[until]))
        if later < every:
            return later - 1, later + 1, until + 1
    return every, every, len(read_ns)


def _extent(holds: Holds, waits: Waits, cpu: CpuReadings) -> tuple[int, int]:
    """The earliest and the latest time in any of these."""
    lows = [int(ts.min()) for ts in (holds.start, waits.start, cpu.ts) if len(ts)]
    highs = [int(ts.max()) for ts in (holds.end, waits.end, cpu.ts) if len(ts)]
    return min(lows), max(highs)


def _in_turn(hold: I8, thread: I4, gil: I4, keys: list[I8], after: I1) -> _Turns:
    """Turns put in order; ``keys`` are requests, acquires and releases."""
    # An acquire is certain. A request is not: see `giltrace.model.offgil.stretches`.
    by = np.where(hold >= 0, keys[1], keys[0])
    if (by[1:] < by[:-1]).any():
        order = np.argsort(by, kind="stable")
        hold, thread, gil, after = hold[order], thread[order], gil[order], after[order]
        keys = [key[order] for key in keys]
    bounds = np.stack(keys, axis=1).ravel()
    np.maximum.accumulate(bounds, out=bounds)
    piece = np.empty(len(bounds), np.int8)
    # Nobody waits in vain but at the very end, unless the record has a hole there.
    piece[0::3], piece[1::3], piece[2::3] = np.where(hold < 0, _HOLE, _WAIT), _HOLD, after
    piece[2::3][:-1][thread[1:] != thread[:-1]] = _HOLE
    piece[-1:] = _HOLE
    return _Turns(hold, thread.astype(np.int64) << 32 | gil, bounds, piece)


@dataclass(frozen=True, slots=True)
class _Shares:
    """What each piece got; columns of equal length, three rows for each turn.

    Attributes:
        cpu_ns: int64, CPU time.
        idle_ns: int64, the rest of its time, as far as readings tell.
        known: bool, readings tell all of it.
    """

    cpu_ns: I8
    idle_ns: I8
    known: Bool

    def not_running(self) -> I8:
        """int64: for each turn how long of it the thread did not run, or -1."""
        return np.where(self.known[1::3], self.idle_ns[1::3], -1)

    def off(self, lane: I8) -> I8:
        """int64: CPU time from the end of each turn to the next one of its lane, or -1."""
        # In between there may be turns on other GILs.
        order = np.argsort(lane, kind="stable")
        here, there = order[:-1], order[1:]
        here, there = (side[lane[here] == lane[there]] for side in (here, there))
        hold, gap = (_sums(self.cpu_ns[i::3]) for i in (1, 2))
        no_hold, no_gap = (_sums((~self.known[i::3]).astype(np.int64)) for i in (1, 2))
        cpu_ns = gap[there] - gap[here] + hold[there] - hold[here + 1]
        unknown = no_gap[there] - no_gap[here] + no_hold[there] - no_hold[here + 1]
        off = np.full(len(lane), -1, np.int64)
        off[here] = np.where(unknown > 0, -1, cpu_ns)
        return off


def _share(turns: _Turns, readings: _Readings) -> _Shares:
    """Share the CPU time between each reading and the next among the pieces between them."""
    # One row for each piece, and one more wherever a reading cuts one in two.
    at = np.searchsorted(turns.bounds, readings.key) + np.arange(len(readings.key))
    is_reading = np.zeros(len(turns.bounds) + len(at), np.bool_)
    is_reading[at] = True
    begin = np.flatnonzero(~is_reading)
    key = np.empty(len(is_reading), np.int64)
    key[at], key[begin] = readings.key, turns.bounds
    length = np.diff(key, append=key[-1])
    piece = np.full(len(key), _HOLE, np.int8)
    piece[begin[0] :] = np.repeat(turns.piece, np.diff(begin, append=len(key)))
    rows = {kind: _sums(np.where(piece == kind, length, 0)) for kind in (_HOLD, _OFF, _IDLE, _HOLE)}
    ends = np.append(at[1:], len(key))
    between = {kind: so_far[ends] - so_far[at] for kind, so_far in rows.items()}
    sound = readings.goes_on & (between[_HOLE] <= CLOCK_SKEW_NS)
    # Before the first reading there is none: index -1, which is nobody's.
    sound = np.append(sound, np.False_)
    segment = np.cumsum(is_reading) - 1
    budget = np.maximum(np.diff(readings.cpu_ns, append=0), 0)
    budget[~sound[:-1]] = 0
    got = np.zeros(len(key), np.int64)
    for kind in (_HOLD, _OFF, _IDLE):
        given = np.minimum(budget, between[kind])
        budget -= given
        here = np.flatnonzero((piece == kind) & (length > 0) & sound[segment])
        one = segment[here]
        before = rows[kind][here] - rows[kind][at[one]]
        through = before + length[here]
        of, give = between[kind][one], given[one]
        got[here] = _portion(through, of, give) - _portion(before, of, give)
    np.minimum(got, length, out=got)
    unsure = np.where(sound[segment], 0, length)
    ns, cpu_ns, unsure = (np.add.reduceat(rows, begin) for rows in (length, got, unsure))
    # A reading may be off from the piece it belongs to by as much as clocks are.
    known = unsure <= np.minimum(ns // 2, CLOCK_SKEW_NS)
    known &= (turns.piece != _HOLE) & (sound[segment[begin]] | (ns > 0))
    return _Shares(cpu_ns, ns - unsure - cpu_ns, known)


def _portion(part: I8, of: I8, give: I8) -> I8:
    """int64: the share of ``give`` for a part of the whole, rounded down."""
    share = np.minimum((part * (give / of)).astype(np.int64), give)
    return np.where(part == of, give, share)


def _sums(values: I8) -> I8:
    """int64 [n + 1]: the sum of all values before each, and of all."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
