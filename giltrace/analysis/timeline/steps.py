"""Each lane as steps: from when on a thread was in which state with regard to one GIL.

A lane never is in two states at once, so the start of each step is all that has to be kept: it ends
where the next one begins. What is drawn, found and added up is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from giltrace.analysis.timeline.state import OF_KIND, State
from giltrace.model.calls import kinds_of
from giltrace.model.dense import gather, pieces, rising
from giltrace.model.offgil import Stretches, kind_of, stretches
from giltrace.model.tables import I1, I4, I8, U1, Bool
from giltrace.model.trace import Trace

_Number = TypeVar("_Number", bound=np.integer[Any])

_SCAN: Final = 1 << 12
"""How many steps are looked at first when one of a kind is wanted; then twice as many."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lane.

    Attributes:
        index: its place in the columns of `Steps`.
        state: what the thread does.
        start: when it begins to, in ns.
        end: when it stops.
        ref: WAITING: index into ``trace.waits``; holding: into ``trace.holds``; off the GIL: the
            hold before it; -1 for NONE.
    """

    index: int
    state: State
    start: int
    end: int
    ref: int

    @property
    def ns(self) -> int:
        """How long it lasts."""
        return self.end - self.start


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """All lanes of a trace. Nothing in it ever changes.

    Attributes:
        thread: int32 [lanes], index into ``trace.threads``; lanes are by thread, then by GIL.
        gil: int32 [lanes], index into ``trace.gils``.
        bounds: int64 [lanes + 1], where the steps of each lane begin, and the end. Each lane's
            last step is NONE, and so is what comes before its first.
        start: int64 [n], ascending within a lane.
        state: uint8 [n], a `State`.
        ref: int32 [n], see `Step.ref`.
    """

    thread: I4
    gil: I4
    bounds: I8
    start: I8
    state: U1
    ref: I4

    def __post_init__(self) -> None:
        for column in (self.thread, self.gil, self.bounds, self.start, self.state, self.ref):
            column.setflags(write=False)

    def __len__(self) -> int:
        """How many lanes there are."""
        return len(self.thread)

    def lane(self, thread: int, gil: int) -> int:
        """The lane of a thread on a GIL, or -1 if it never held nor awaited it."""
        first, last = np.searchsorted(self.thread, [thread, thread + 1])
        at = first + int(np.searchsorted(self.gil[first:last], gil))
        return int(at) if at < last and self.gil[at] == gil else -1

    def step(self, index: int) -> Step:
        """One step by its place in the columns; not the last one of a lane."""
        return Step(
            index,
            State(int(self.state[index])),
            int(self.start[index]),
            int(self.start[index + 1]),
            int(self.ref[index]),
        )

    def at(self, lane: int, ts: int) -> Step | None:
        """What a lane does at a time, or None if that is not on record."""
        first, last = int(self.bounds[lane]), int(self.bounds[lane + 1])
        index = first + int(np.searchsorted(self.start[first:last], ts, side="right")) - 1
        if index < first or self.state[index] == State.NONE:
            return None
        return self.step(index)

    def between(self, lane: int, start: int, end: int, limit: int) -> list[Step] | None:
        """The steps that are on record in a stretch of time, or None if there are too many.

        Steps without length are left out.
        """
        first, last = int(self.bounds[lane]), int(self.bounds[lane + 1])
        low, high = np.searchsorted(self.start[first:last], [start, end])
        low = max(int(low) - 1, 0)
        if high - low > limit:
            return None
        found = (self.step(i) for i in range(first + low, min(first + int(high), last - 1)))
        return [step for step in found if step.state != State.NONE and step.ns > 0]

    def search(
        self, lane: int, ts: int, *, back: bool, wanted: Callable[[U1, I4], Bool]
    ) -> Step | None:
        """The next step of a lane that begins after a time; or the last that begins before it.

        Args:
            lane: which lane.
            ts: the time.
            back: look into the past instead.
            wanted: given states and refs of some steps, which of them are wanted.
        """
        first, last = int(self.bounds[lane]), int(self.bounds[lane + 1])
        side = "left" if back else "right"
        here = first + int(np.searchsorted(self.start[first:last], ts, side=side))  # type: ignore[call-overload]
        size = _SCAN
        while (first < here) if back else (here < last):
            low, high = (max(first, here - size), here) if back else (here, min(last, here + size))
            hits = np.flatnonzero(wanted(self.state[low:high], self.ref[low:high]))
            if len(hits):
                return self.step(low + int(hits[-1 if back else 0]))
            here, size = (low if back else high), 2 * size
        return None


def steps(trace: Trace) -> Steps:
    """The steps of all lanes."""
    holds = trace.holds
    found = stretches(holds, trace.waits, trace.breaks)
    kinds = kinds_of(trace.calls)
    wait = gather(_wait_of_each_hold(trace), found.order)
    # Each hold makes a step, one for what follows it, and one for its wait if it had one.
    after = np.cumsum(2 + (wait >= 0), dtype=np.int32) - np.int32(1)
    count = int(after[-1]) + 1 if len(after) else 0
    start, state, ref = (
        np.empty(count, np.int64),
        np.empty(count, np.uint8),
        np.empty(count, np.int32),
    )
    opens_at, keys = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    last = -1
    for some in pieces(len(found.order)):
        hold, at = found.order[some], after[some]
        start[at], state[at], ref[at] = holds.end[hold], _follows(trace, found, some, kinds), hold
        start[at - 1], state[at - 1], ref[at - 1] = holds.start[hold], _held(trace, hold), hold
        had = np.flatnonzero(wait[some] >= 0)
        before, its = at[had] - 2, wait[some][had]
        start[before], state[before], ref[before] = trace.waits.start[its], State.WAITING, its
        key = _keys(trace, holds.thread[hold], holds.gil[hold])
        opens = np.flatnonzero(np.diff(key, prepend=last))
        opens_at.append(at[opens] - 1 - (wait[some][opens] >= 0))
        keys.append(key[opens])
        last = int(key[-1])
    bounds = np.append(np.concatenate(opens_at), len(start))
    draft = _Draft(np.concatenate(keys), bounds, start, state, ref)
    del found, wait, after
    return _finished(trace, _with_waits_in_vain(trace, draft))


@dataclass(slots=True)
class _Draft:
    """Steps in the making; lanes as keys that ascend by thread, then by GIL."""

    keys: I8
    bounds: I8
    start: I8
    state: U1
    ref: I4


def _keys(trace: Trace, thread: I4, gil: I4) -> I8:
    return thread.astype(np.int64) * max(1, len(trace.gils)) + gil


def _wait_of_each_hold(trace: Trace) -> I4:
    """int32 [holds]: the wait that led to each; -1 for none."""
    wait = np.full(len(trace.holds), -1, np.int32)
    for some in pieces(len(trace.waits)):
        hold = trace.waits.hold[some]
        granted = np.flatnonzero(hold >= 0)
        wait[hold[granted]] = some.start + granted
    return wait


def _held(trace: Trace, hold: I8) -> U1:
    """uint8: the state in each of these holds."""
    idle, ns = trace.running.not_running_ns[hold], trace.holds.end[hold] - trace.holds.start[hold]
    return np.where((idle > 0) & (2 * idle >= ns), State.HELD_IDLE, State.HOLDING).astype(np.uint8)


def _follows(trace: Trace, found: Stretches, some: slice, kinds: I1) -> U1:
    """uint8: the state after each of some holds, in the order of the stretches.

    Args:
        trace: the trace.
        found: its stretches.
        some: which of them.
        kinds: int8, the `OffKind` of each call.
    """
    hold, end = found.order[some], found.end[some]
    holds = trace.holds
    kind = kind_of(
        kinds[holds.call[hold]],
        end - holds.end[hold],
        trace.running.off_busy_ns[hold],
        holds.cause[hold],
    )
    follows = OF_KIND[kind]
    follows[end < 0] = State.NONE
    return follows


def _with_waits_in_vain(trace: Trace, draft: _Draft) -> _Draft:
    """Put in the waits that led to no hold: where each begins, and where it ends."""
    waits = trace.waits
    vain = np.flatnonzero(waits.hold < 0)
    if len(vain) == 0:
        return draft
    long = vain[waits.end[vain] > waits.start[vain]]
    which = np.concatenate((vain, long))
    is_start = np.repeat((False, True), (len(vain), len(long)))
    key = _keys(trace, waits.thread[which], waits.gil[which])
    ts = np.where(is_start, waits.start[which], waits.end[which])
    order = np.lexsort((is_start, ts, key))
    which, is_start, key, ts = which[order], is_start[order], key[order], ts[order]
    keys = np.union1d(draft.keys, key)
    known = np.searchsorted(draft.keys, keys)
    bounds = np.append(draft.bounds[known], len(draft.start))
    at = np.empty(len(which), np.int64)
    lanes, firsts = np.unique(key, return_index=True)
    for one, new in zip(lanes.tolist(), np.split(np.arange(len(key)), firsts[1:]), strict=True):
        lane = int(np.searchsorted(keys, one))
        here = draft.start[bounds[lane] : bounds[lane + 1]]
        # Of steps that begin at one time, the one that lasts has to be the last.
        ends, starts = np.searchsorted(here, ts[new]), np.searchsorted(here, ts[new], side="right")
        at[new] = bounds[lane] + np.where(is_start[new], starts, ends)
    bounds[1:] += np.cumsum(np.bincount(np.searchsorted(keys, key), minlength=len(keys)))
    return _Draft(
        keys,
        bounds,
        _inserted(draft.start, at, ts),
        _inserted(draft.state, at, np.where(is_start, State.WAITING, State.NONE)),
        _inserted(draft.ref, at, np.where(is_start, which, -1)),
    )


def _inserted(
    column: npt.NDArray[_Number], at: I8, values: npt.NDArray[Any]
) -> npt.NDArray[_Number]:
    """As `np.insert` with ascending places, of which there are few: by copying what is between."""
    made = np.empty(len(column) + len(at), column.dtype)
    done = 0
    for number, (place, value) in enumerate(zip(at.tolist(), values.tolist(), strict=True)):
        made[done + number : place + number] = column[done:place]
        made[place + number] = value
        done = place
    made[done + len(at) :] = column[done:]
    return made


def _finished(trace: Trace, draft: _Draft) -> Steps:
    rising(draft.start, draft.bounds)
    # Only what has no length can be last but NONE: an off step that ends in a wait in vain.
    draft.state[draft.bounds[1:] - 1] = State.NONE
    for some in pieces(len(draft.state)):
        draft.ref[some][draft.state[some] == State.NONE] = -1
    thread, gil = np.divmod(draft.keys, max(1, len(trace.gils)))
    return Steps(
        thread.astype(np.int32),
        gil.astype(np.int32),
        draft.bounds,
        draft.start,
        draft.state,
        draft.ref,
    )
