"""Off GIL: from a release to the same thread's next request for the same GIL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from giltrace.model.calls import OffKind
from giltrace.model.dense import by_thread, gather, is_constant, pieces
from giltrace.model.tables import I1, I8, Cause, Holds, OffGil, Waits

READING_INTERVAL_NS = 200_000
"""A thread's CPU clock is read where a hold begins or ends, but not more often than this."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretches off the GIL, in less memory than `OffGil` takes.

    Attributes:
        order: int64 [holds], all holds by thread, then GIL, then time.
        end: int64 [holds], in that order: when the stretch after each hold ends; -1 for none.
        vain_at: int64 [k], where in that order it is a wait in vain that ends the stretch.
        vain: int64 [k], those waits.
    """

    order: I8
    end: I8
    vain_at: I8
    vain: I8


def stretches(holds: Holds, waits: Waits, breaks: I8) -> Stretches:
    """All stretches off the GIL.

    Args:
        holds: all holds.
        waits: all waits.
        breaks: holds after which the record of their thread has a hole: no stretch begins there.
    """
    # Holds are sorted by GIL and time already, so a stable sort by thread is all it takes.
    order = by_thread(holds.thread, int(holds.thread.max(initial=-1)) + 1)
    request = requests(holds, waits)
    end = np.full(len(holds), -1, np.int64)
    end[:-1] = request[order[1:]]
    del request
    for column in (holds.thread, holds.gil):
        lane = gather(column, order)
        end[:-1][lane[1:] != lane[:-1]] = -1
    end[-1:] = -1
    vain_at, vain = _requests_in_vain(holds, waits, order, end)
    torn = holds.cause == Cause.NONE
    torn[breaks] = True
    end[gather(torn, order)] = -1
    for some in pieces(len(end)):
        # Of what was mended, a hold without length may lie at the very end of a wait.
        real = end[some] >= 0
        end[some][real] = np.maximum(end[some][real], holds.end[order[some][real]])
    return Stretches(order, end, vain_at, vain)


def requests(holds: Holds, waits: Waits) -> I8:
    """int64 [holds]: when each hold was requested, be it by a wait or by the acquire itself."""
    request = holds.start.copy()
    for some in pieces(len(waits)):
        hold = waits.hold[some]
        request[hold[hold >= 0]] = waits.start[some][hold >= 0]
    return request


def off_gil(
    holds: Holds, waits: Waits, breaks: I8, *, cpu_ns: I8, busy_ns: I8, kinds: I1
) -> OffGil:
    """All stretches off the GIL as columns.

    Args:
        holds: all holds.
        waits: all waits.
        breaks: as for `stretches`.
        cpu_ns: int64 [holds], CPU time in the stretch after each hold, or -1.
        busy_ns: int64 [holds], see `giltrace.model.running.Running`.
        kinds: int8, the `OffKind` of each call.
    """
    found = stretches(holds, waits, breaks)
    wait_of = np.full(len(holds), -1, np.int64)
    granted = np.flatnonzero(waits.hold >= 0)
    wait_of[waits.hold[granted]] = granted
    next_wait = np.full(len(holds), -1, np.int64)
    next_wait[:-1] = wait_of[found.order[1:]]
    del wait_of
    next_wait[found.vain_at] = found.vain
    kept = np.flatnonzero(found.end >= 0)
    hold = found.order[kept]
    start, end = holds.end[hold], found.end[kept]
    call = gather(holds.call, hold)
    used = gather(cpu_ns, hold)
    if not is_constant(used):
        np.minimum(used, end - start, out=used)
    return OffGil(
        thread=holds.thread[hold],
        gil=holds.gil[hold],
        start=start,
        end=end,
        hold=hold,
        next_wait=next_wait[kept],
        call=call,
        kind=kind_of(
            gather(kinds, call), end - start, gather(busy_ns, hold), gather(holds.cause, hold)
        ),
        cpu_ns=used,
    )


def kind_of(known: I1, ns: I8, busy_ns: I8, cause: I1) -> I1:
    """int8: what each stretch is, by its cause, else its call, else by how busy the thread was.

    Args:
        known: the `OffKind` of its call.
        ns: its length.
        busy_ns: see `giltrace.model.running.Running`.
        cause: of the hold before it.
    """
    kind = np.array(known)
    kind[cause == Cause.FORCED] = OffKind.SWITCH
    if is_constant(busy_ns):
        return kind
    told = kind == OffKind.UNKNOWN
    computes = (busy_ns >= ns - busy_ns) & (ns > 0) & (busy_ns >= 0)
    # What is shorter has no readings of its own: it is not known to have used no CPU.
    blocked = (busy_ns >= 0) & ~computes & (ns >= READING_INTERVAL_NS)
    kind[told & computes] = OffKind.NATIVE
    kind[told & blocked] = OffKind.BLOCKED
    return kind


def _requests_in_vain(holds: Holds, waits: Waits, order: I8, end: I8) -> tuple[I8, I8]:
    """Let waits that led to no hold end the stretches in which they began (in ``end``).

    Returns where in ``order`` they did, and which waits they are.
    """
    vain = np.flatnonzero(waits.hold < 0)
    places, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    if len(vain) == 0:
        return places[0], found[0]
    lane = holds.thread[order].astype(np.int64) << 32 | holds.gil[order]
    wanted = waits.thread[vain].astype(np.int64) << 32 | waits.gil[vain]
    for one in np.unique(wanted):
        first, last = np.searchsorted(lane, [one, one + 1])
        mine = vain[wanted == one]
        ends = holds.end[order[first:last]]
        before = np.searchsorted(ends, waits.start[mine], side="right") - 1
        # Of several behind one hold the first counts, and waits are sorted by start.
        before, which = np.unique(before, return_index=True)
        at, wait = first + before[before >= 0], mine[which[before >= 0]]
        sooner = (end[at] < 0) | (waits.start[wait] < end[at])
        end[at[sooner]] = waits.start[wait[sooner]]
        places.append(at[sooner])
        found.append(wait[sooner])
    return np.concatenate(places), np.concatenate(found)
