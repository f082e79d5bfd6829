"""What the machine adds: how long things took in the recording, and how races for the GIL went."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.analysis.whatif.terms import (
    USUAL_CHECK_NS,
    USUAL_TIMER_NS,
    USUAL_WAKE_NS,
    Race,
    Timings,
)
from giltrace.model.dense import positions
from giltrace.model.handoffs import handed_off
from giltrace.model.tables import I8, Bool, Cause
from giltrace.model.trace import Trace


def forced_releases(trace: Trace) -> Bool:
    """Which releases, as bool [holds], were not the thread's own."""
    cause, call = trace.holds.cause, trace.holds.call
    # In a call that is known it would have let go without being asked.
    forced: Bool = (cause == Cause.FORCED) | ((cause == Cause.UNKNOWN) & (call == 0))
    return forced


class Races:
    """How races for a GIL went: was anybody at hand at a release, and who came next?"""

    def __init__(self, trace: Trace, gil: int, forced: Bool, asked: I8) -> None:
        self._holds = trace.holds
        self._part = trace.holds_of(gil)
        waits = trace.waits_of(gil)
        starts, ends = [trace.waits.start[waits]], [trace.waits.end[waits]]
        for cut, back in forced_out(trace, gil, forced):
            starts.append(trace.holds.end[cut])
            ends.append(np.maximum(asked[back], trace.holds.end[cut]))
        self._starts, self._ends = np.sort(np.concatenate(starts)), np.sort(np.concatenate(ends))

    def at(self, last: I8) -> tuple[I8, I8]:
        """How the races after these holds went, and after how long the lost ones were lost."""
        holds = self._holds
        released = holds.end[last]
        begun = np.searchsorted(self._starts, released, side="right")
        at_hand = begun > np.searchsorted(self._ends, released, side="left")
        following = np.minimum(last + 1, self._part.stop - 1)
        at_hand &= following > last
        same = holds.thread[following] == holds.thread[last]
        race = np.where(at_hand, np.where(same, Race.WON, Race.LOST), Race.NONE)
        latency = np.maximum(holds.start[following] - released, 0)
        return race.astype(np.int64), latency


def forced_out(trace: Trace, gil: int, forced: Bool) -> Iterator[tuple[I8, I8]]:
    """For each thread its holds that ended by force, and its next hold after each."""
    part = trace.holds_of(gil)
    for thread in np.unique(trace.holds.thread[part]).tolist():
        mine = np.flatnonzero(trace.holds.thread[part] == thread) + part.start
        cut = np.flatnonzero(forced[mine[:-1]])
        yield mine[cut], mine[cut + 1]


def timings(trace: Trace, gil: int, forced: Bool, asked: I8, interval_ns: int) -> Timings:
    """How long it takes to hand a GIL over, and what else the machine adds, as medians.

    Args:
        trace: the trace.
        gil: index into ``trace.gils``.
        forced: bool [holds], see `forced_releases`.
        asked: int64 [holds], when each was requested.
        interval_ns: the switch interval.
    """
    holds = trace.holds
    wakes, switches = _latencies(trace, gil, forced, asked)
    asked_for = trace.drop_requests
    which = np.flatnonzero((asked_for.gil == gil) & (asked_for.hold >= 0))
    hold, first = np.unique(asked_for.hold[which], return_index=True)
    heeded = forced[hold]
    checks = holds.end[hold] - asked_for.ts[which[first]]
    checks_by, returns_by = {}, {}
    for thread in np.unique(holds.thread[hold]).tolist():
        some = checks[heeded & (holds.thread[hold] == thread)]
        checks_by[thread] = max(0, _median(some, USUAL_CHECK_NS))
    for cut, back in forced_out(trace, gil, forced):
        if len(cut):
            # Holds are in the order in which the GIL changed hands.
            taken = holds.start[np.minimum(cut + 1, len(holds) - 1)]
            returns = np.maximum(asked[back] - taken, 0)
            returns_by[int(holds.thread[cut[0]])] = _median(returns, USUAL_WAKE_NS)
    switch_ns = _median(switches, _median(wakes, USUAL_WAKE_NS))
    return Timings(
        handoff_ns=switch_ns,
        wake_ns=_median(wakes, switch_ns),
        timer_ns=_timer_ns(trace, gil, interval_ns),
        check_ns=checks_by,
        return_ns=returns_by,
    )


def _latencies(trace: Trace, gil: int, forced: Bool, asked: I8) -> tuple[I8, I8]:
    """How long nobody held the GIL at hand-offs to who waited: if let go freely, and if forced.

    Without `Trace.handoffs`, which would stay in memory.
    """
    holds = trace.holds
    release = positions(handed_off(holds))
    release = release[holds.gil[release] == gil]
    # Only those that had asked before it was let go tell how long it takes to wake up.
    release = release[asked[release + 1] <= holds.end[release]]
    latency = holds.start[release + 1] - holds.end[release]
    was_forced = forced[release]
    return latency[~was_forced], latency[was_forced]


def _timer_ns(trace: Trace, gil: int, interval_ns: int) -> int:
    """By how much a waiter oversleeps its interval, from waits that took one round."""
    waits, asked_for = trace.waits, trace.drop_requests
    part = trace.waits_of(gil)
    if part.stop == part.start:
        return USUAL_TIMER_NS
    late = []
    for thread in np.unique(waits.thread[part]).tolist():
        starts = waits.start[part][waits.thread[part] == thread]
        ts = asked_for.ts[(asked_for.gil == gil) & (asked_for.thread == thread)]
        before = np.searchsorted(starts, ts, side="right") - 1
        late.append((ts - starts[before] - interval_ns)[before >= 0])
    ns = np.concatenate(late)
    return _median(ns[(ns >= 0) & (ns < interval_ns // 2)], USUAL_TIMER_NS)


def _median(values: I8, otherwise: int) -> int:
    return int(np.median(values)) if len(values) else otherwise
