"""Priority inversion: an urgent thread waits for a less urgent one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import RARE
from giltrace.analysis.findings.overlaps import Parts
from giltrace.analysis.findings.scene import Scene
from giltrace.model.tables import I4, I8, Bool, Priorities


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Dear waits of which half or more fell on holds of threads of lower priority."""
    changes = scene.trace.priorities
    rows = scene.dear[free[scene.dear]]
    if not len(changes) or not len(rows):
        return
    mine = _at(changes, scene.waiter[rows], scene.wait_start[rows])
    theirs = _at(changes, scene.holder, scene.hold_start)
    on_lower = np.zeros(len(rows), np.int64)
    for level in np.unique(mine).tolist():
        here = np.flatnonzero(mine == level)
        parts = Parts(scene.hold_start, scene.hold_end, theirs < level)
        on_lower[here] = scene.overlaps.on(parts, rows[here])
    inverted = 2 * on_lower >= scene.wait_ns[rows]
    rows, on_lower = rows[inverted], on_lower[inverted]
    lost = int(scene.wait_ns[rows].sum())
    if len(rows) and lost >= RARE * scene.wall_ns:
        yield assemble(scene, Kind.INVERSION, rows, free, fitting_ns=int(on_lower.sum()))


def _at(changes: Priorities, thread: I4, ts: I8) -> I4:
    """int32: the priority of each of these threads at that time."""
    found = np.zeros(len(thread), np.int32)
    for one in np.unique(changes.thread).tolist():
        here = np.flatnonzero(thread == one)
        own = changes.thread == one
        place = np.searchsorted(changes.ts[own], ts[here], side="right")
        found[here] = np.concatenate((np.zeros(1, np.int32), changes.priority[own]))[place]
    return found
