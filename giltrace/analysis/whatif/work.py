"""What threads want from a GIL, taken out of a trace so that it can be played under other rules.

Each thread is a sequence of phases: a *demand*, the time for which it holds the GIL until it lets
go by itself, and the time *off* the GIL that follows. Holds that ended by force are merged with
what follows them: where they were cut is the policy's doing, not the program's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import numpy as np

from giltrace.analysis.whatif.machine import Races, forced_releases, timings
from giltrace.analysis.whatif.replies import Phases, directions, replies, with_replies
from giltrace.analysis.whatif.terms import Work, Workload
from giltrace.model.offgil import requests
from giltrace.model.tables import I8, Bool
from giltrace.model.trace import Trace

MOST_PHASES: Final = 20_000
"""More are not played: a window of the recording stands for it."""

_LEAST_VISITS: Final = 3


def workload(trace: Trace, gil: int, *, think_ns: int | None = None) -> Workload:
    """What the threads of a recording want from one GIL, and what the machine adds.

    The window is the time in which the victim came around again and again: from the first end to
    the last end of the call in which it waits for the outside world.

    Args:
        trace: the trace.
        gil: index into ``trace.gils``.
        think_ns: how long the outside world takes to answer, if that is known; None to estimate
            it from the receives that really waited.
    """
    asked = requests(trace.holds, trace.waits)
    forced = forced_releases(trace)
    everyone = [
        _phases(trace, gil, thread, forced, asked)
        for thread in np.unique(trace.holds.thread[trace.holds_of(gil)]).tolist()
    ]
    victim, hogs = _roles(trace, gil, everyone)
    races = Races(trace, gil, forced, asked)
    start, end, anchors = _window(trace, gil, [p for p in everyone if p.thread == victim])
    notes = []
    interval_ns = _interval(trace, gil, start)
    if (narrow := _narrowed(everyone, (start, end), anchors)) is not None:
        share = (narrow[1] - narrow[0]) / max(1, end - start)
        notes.append(f"Only a window of {share:.0%} of the recording was played.")
        start, end = narrow
    works, unseen = [], False
    for phases in everyone:
        receiving, sending = directions(trace, phases)
        work = _work(trace, races, phases, (start, end), interval_ns)
        if work is None:
            continue
        work, hidden = with_replies(work, phases, (receiving, sending), (start, end), think_ns)
        if phases.thread == victim:
            inside = (anchors > start) & (anchors <= end)
            work = replace(work, cycles=int(np.count_nonzero(inside)))
            unseen = hidden
        works.append(work)
    # Before the next table as long as the recording is made.
    del everyone, races
    works.sort(key=lambda work: (work.start, work.thread != _holder(trace, gil, start)))
    return Workload(
        gil=gil,
        interval_ns=interval_ns,
        start_ns=start,
        end_ns=end,
        works=tuple(works),
        timings=timings(trace, gil, forced, asked, interval_ns),
        victim=victim,
        hogs=hogs,
        notes=(*notes, *([_HIDDEN] if unseen else [])),
        unseen=unseen,
    )


_HIDDEN: Final = (
    "Replies were there before anyone looked, so how long the outside world takes cannot be seen: "
    "times per cycle are lower bounds."
)


def _phases(trace: Trace, gil: int, thread: int, forced: Bool, asked: I8) -> Phases:
    part = trace.holds_of(gil)
    mine = np.flatnonzero(trace.holds.thread[part] == thread) + part.start
    begins = np.concatenate(([True], ~forced[mine[:-1]]))
    first = mine[begins]
    last = mine[np.concatenate((begins[1:], [True]))]
    ask, end = asked[first], trace.holds.end[last]
    off = np.zeros(len(first), np.int64)
    off[:-1] = np.maximum(ask[1:] - end[:-1], 0)
    return Phases(thread, first, last, ask, end, off)


def _roles(trace: Trace, gil: int, everyone: list[Phases]) -> tuple[int, tuple[int, ...]]:
    """Who suffers, and who is in the way."""
    count = len(trace.threads)
    waited, held = np.zeros(count, np.int64), np.zeros(count, np.int64)
    waits, holds = trace.waits_of(gil), trace.holds_of(gil)
    np.add.at(waited, trace.waits.thread[waits], trace.waits.ns[waits])
    np.add.at(held, trace.holds.thread[holds], trace.holds.ns[holds])
    interval_ns = trace.gils[gil].switch_interval_ns
    hogs = [p.thread for p in everyone if held[p.thread] > len(p.first) * interval_ns]
    others = [p.thread for p in everyone if p.thread not in hogs and waited[p.thread]]
    victims = others or [p.thread for p in everyone if waited[p.thread]]
    if not victims:
        return -1, tuple(hogs)
    victim = max(victims, key=lambda thread: int(waited[thread]))
    hogs = [thread for thread in hogs if thread != victim]
    if not hogs:
        rest = [p.thread for p in everyone if p.thread != victim]
        hogs = [max(rest, key=lambda thread: int(held[thread]))] if rest else []
    return victim, tuple(hogs)


# --------------------------------------------------------------------- the window


def _window(trace: Trace, gil: int, victims: list[Phases]) -> tuple[int, int, I8]:
    """From when to when to play, and when the victim came around in between."""
    none = np.zeros(0, np.int64)
    if not victims:
        return trace.gils[gil].start_ns, trace.gils[gil].end_ns, none
    phases = victims[0]
    whole = (int(phases.ask[0]), int(phases.end[-1]), none)
    receiving, sending = directions(trace, phases)
    answers = replies(receiving, sending)[:-1]
    keys = trace.holds.place[phases.last].astype(np.int64) << 20 | trace.holds.call[phases.last]
    cost: Counter[int] = Counter()
    visits = Counter(keys[:-1].tolist())
    if answers.any():
        cost.update(keys[:-1][answers].tolist())
    else:
        # Where it is off the GIL for longest is where it waits for something to do.
        for key, ns in zip(keys[:-1].tolist(), phases.off.tolist(), strict=False):
            cost[key] += ns
    often = [(ns, key) for key, ns in cost.items() if visits[key] >= _LEAST_VISITS]
    if not often:
        return whole
    chosen = keys[:-1] == max(often)[1]
    if answers.any():
        chosen &= answers
    anchors = phases.ask[1:][chosen]
    if len(anchors) < _LEAST_VISITS:
        return whole
    return int(anchors[0]), int(anchors[-1]), anchors


def _narrowed(
    everyone: list[Phases], window: tuple[int, int], anchors: I8
) -> tuple[int, int] | None:
    """A part of the window with few enough phases, if that is needed: one from its middle."""
    start, end = window
    counts = [np.searchsorted(p.ask, [start, end]) for p in everyone]
    phases = sum(int(last - first) for first, last in counts)
    if phases <= MOST_PHASES:
        return None
    quarter = int((end - start) * MOST_PHASES / phases / 2)
    first, last = (start + end) // 2 - quarter, (start + end) // 2 + quarter
    if len(anchors):
        first, last = (int(anchors[np.searchsorted(anchors, at)]) for at in (first, last))
    return (first, last) if first < last else None


def _holder(trace: Trace, gil: int, at: int) -> int:
    """The thread that holds the GIL at an instant, or -1."""
    part = trace.holds_of(gil)
    hold = int(np.searchsorted(trace.holds.start[part], at, side="right")) - 1 + part.start
    if hold < part.start or trace.holds.end[hold] <= at:
        return -1
    return int(trace.holds.thread[hold])


def _interval(trace: Trace, gil: int, at: int) -> int:
    """The switch interval at an instant."""
    known = trace.gils[gil]
    interval_ns = trace.processes[known.process].switch_interval_ns
    for since, ns in known.switch_intervals:
        interval_ns = ns if since <= at else interval_ns
    return max(1, interval_ns)


# --------------------------------------------------------------------- phases in the window


def _work(
    trace: Trace, races: Races, phases: Phases, window: tuple[int, int], interval_ns: int
) -> Work | None:
    """What a thread wants within the window, its replies left aside; None for nothing."""
    start, end = window
    some = np.flatnonzero((phases.end > start) & (phases.ask < end))
    if not len(some):
        return None
    holds = trace.holds
    race, latency = races.at(phases.last[some])
    first, last = int(some[0]), int(some[-1])
    part = slice(int(phases.first[first]), int(phases.last[last]) + 1)
    mine = np.flatnonzero(holds.thread[part] == phases.thread) + part.start
    begins = np.searchsorted(mine, phases.first[some])
    after = holds.end[mine] - np.maximum(holds.start[mine], start)
    demand = np.add.reduceat(np.maximum(after, 0), begins)
    # What takes that long is a computation, and where it would have ended nobody needs to know.
    endless = bool(phases.end[last] > end and demand[-1] > interval_ns)
    return Work(
        thread=phases.thread,
        start=max(0, int(phases.ask[first]) - start),
        demand=demand.tolist(),
        off=phases.off[some].tolist(),
        race=race.tolist(),
        latency=latency.tolist(),
        sends=[False] * len(some),
        think=[-1] * len(some),
        bound=[-1] * len(some),
        endless=endless,
    )
