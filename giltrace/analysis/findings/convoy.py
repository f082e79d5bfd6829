"""Convoy: short voluntary releases that each cost about a switch interval to get back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.cycles import cycle
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import FEW, RARE
from giltrace.analysis.findings.scene import LEAST_NS, Scene
from giltrace.model.calls import OffKind, kinds_of
from giltrace.model.dense import distinct
from giltrace.model.tables import I8, Bool

OFTEN: Final = 0.1
"""A stall at one in ten acquires is what a thread must expect."""
MANY: Final = 20
"""So many stalls are a pattern, whoever else waits."""
PART: Final = 0.25
"""Fewer are one if they are this part of all waiting. A thread that starts others, which compute,
stalls at each start; beside the waits of those it has started that is less."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """The convoy at this GIL, if there is one; its victims may have several hogs."""
    rows = stalls(scene, free)
    lost = int(scene.wait_ns[rows].sum())
    threads = distinct(scene.waiter[rows])
    acquires = int(scene.acquires[threads].sum())
    often = len(rows) >= OFTEN * acquires or lost >= RARE * scene.wall_ns
    pattern = len(rows) >= MANY or lost >= PART * int(scene.wait_ns.sum())
    if len(rows) < FEW or not often or not pattern or _coordinates(scene, rows, lost):
        return
    parts = scene.long_parts
    fitting = int(scene.overlaps.on(parts, rows).sum())
    yield assemble(scene, Kind.CONVOY, rows, free, fitting_ns=fitting, parts=parts, cycles=cycle)


def _coordinates(scene: Scene, rows: I8, lost: int) -> bool:
    """The stalls are those of a thread that hands out work to a pool and collects the results.

    Most of them follow a wait for a lock, which the pool lets go of, and its threads lose more to
    each other than they make that thread lose: it waits as long as one of them, without computing.
    """
    locks = kinds_of(scene.trace.calls)[scene.call[scene.before[rows]]] == OffKind.LOCK
    if 2 * int(scene.wait_ns[rows[locks]].sum()) < lost:
        return False
    hogs = distinct(scene.holder[scene.overlaps.laid(scene.long_parts, rows) > 0])
    theirs = scene.behind_long[np.isin(scene.waiter[scene.behind_long], hogs)]
    return int(scene.wait_ns[theirs].sum()) > lost


def stalls(scene: Scene, free: Bool) -> I8:
    """int64: the waits that are convoy stalls, if they are more than a few.

    Each began after the thread had let go by itself; fell on long holds for half of its time or
    more; lasted for half a switch interval or more, or was ended by force; and its thread mostly
    waits for threads that do not wait for it.
    """
    rows = np.flatnonzero(
        free
        & scene.after_release
        & scene.standing.behind[scene.waiter]
        & (scene.is_dear | (scene.ended_by_force & (scene.wait_ns >= LEAST_NS)))
    )
    found: I8 = rows[2 * scene.on_long(rows) >= scene.wait_ns[rows]]
    return found
