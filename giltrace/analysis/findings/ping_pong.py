"""Ping-pong: two threads wake each other up through a lock or a queue, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Alternation, Kind
from giltrace.analysis.findings.limits import RARE
from giltrace.analysis.findings.scene import Scene
from giltrace.model.calls import OffKind, kinds_of
from giltrace.model.dense import numbered
from giltrace.model.tables import I8, Bool, Cause

PERIOD_NS: Final = 1_000_000
"""There and back again within this time: the threads hand over more than they work."""
TIMES: Final = 100
"""Fewer alternations are no habit."""
_PAIRS: Final = 5


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """For each pair of threads that does it often: the waits that led to those holds.

    An alternation is three holds in a row by A, B and A, of which the first two ended voluntarily
    in a call that waits for another thread. Time in which nobody held the GIL meanwhile is a part
    of what it costs, but no wait; `Alternation.latency_ns` has it.
    """
    at, known = _alternations(scene)
    if len(at) < TIMES:
        return
    count = len(scene.trace.threads)
    one, other = scene.holder[at].astype(np.int64), scene.holder[at + 1].astype(np.int64)
    pairs, pair = numbered(np.minimum(one, other) * count + np.maximum(one, other))
    times = np.bincount(pair, minlength=len(pairs))
    for number in np.argsort(-times, kind="stable")[:_PAIRS].tolist():
        if times[number] >= TIMES:
            yield from _pair(scene, free, at[pair == number], known[pair == number])


def _alternations(scene: Scene) -> tuple[I8, Bool]:
    """The first hold of each alternation, and whether both its calls are known by name."""
    holder, cause = scene.holder, scene.cause
    if len(holder) < 3:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    back: Bool = (holder[2:] == holder[:-2]) & (holder[1:-1] != holder[:-2])
    back &= (cause[:-2] == Cause.VOLUNTARY) & (cause[1:-1] == Cause.VOLUNTARY)
    back &= scene.hold_start[2:] - scene.hold_start[:-2] <= PERIOD_NS
    at = np.flatnonzero(back)
    tenure = scene.trace.holds.tenure[scene.first_hold :][: len(holder)]
    at = at[(tenure[at + 2] == tenure[at] + 2) & (tenure[at + 1] == tenure[at] + 1)]
    lock = kinds_of(scene.trace.calls) == OffKind.LOCK
    first, second = scene.call[at], scene.call[at + 1]
    # Where no call is known it may be a lock; a known one has to be.
    kept = (lock[first] | (first == 0)) & (lock[second] | (second == 0))
    return at[kept], (lock[first] & lock[second])[kept]


def _pair(scene: Scene, free: Bool, at: I8, known: Bool) -> Iterator[Found]:
    alternation = Alternation(
        times=len(at),
        busy_ns=int((scene.hold_start[at + 1] - scene.hold_start[at]).sum()),
        latency_ns=int((scene.hold_start[at + 1] - scene.hold_end[at]).sum()),
    )
    taken = np.zeros(len(scene.holder), np.bool_)
    taken[at + 1] = taken[at + 2] = True
    led = np.flatnonzero(scene.granted >= 0)
    rows = led[taken[scene.granted[led]]]
    rows = rows[free[rows]]
    lost = int(scene.wait_ns[rows].sum())
    if len(rows) and lost + alternation.latency_ns >= RARE * scene.wall_ns:
        fitting = round(lost * float(known.mean()))
        yield assemble(
            scene,
            Kind.PING_PONG,
            rows,
            free,
            fitting_ns=fitting,
            alternation=alternation,
            cases=len(at),
        )
