"""Contention of equals: threads that compute take turns. That is sharing, not a convoy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import FEW, RARE
from giltrace.analysis.findings.scene import Scene
from giltrace.model.tables import Bool


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits on long holds, after the waiter itself was forced out or among threads like it."""
    rows = scene.behind_long[free[scene.behind_long]]
    rows = rows[scene.after_force[rows] | scene.standing.among[scene.waiter[rows]]]
    ns = scene.wait_ns[rows]
    if len(rows) < FEW or ns.sum() < RARE * scene.wall_ns:
        return
    parts = scene.long_parts
    threads = np.union1d(scene.waiter[rows], scene.holder[scene.overlaps.laid(parts, rows) > 0])
    if len(threads) > 1:
        fitting = int(ns[scene.requested[rows] | scene.after_force[rows]].sum())
        yield assemble(scene, Kind.EQUALS, rows, free, fitting_ns=fitting, parts=parts)
