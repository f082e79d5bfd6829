"""Long hold: C code keeps the GIL long after it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import FELT_NS, RARE
from giltrace.analysis.findings.scene import LEAST_NS, Scene
from giltrace.model.tables import Bool

OVERDUE: Final = 2
"""Switch intervals after a drop request, from which on the holder did not just react late."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits of which half or more came after a drop request, during overdue holds.

    Python code lets go within microseconds of a request. What does not was in one C call that
    keeps the GIL, or did not run at all; `Hog.not_running_ns` tells which.
    """
    start, end = scene.overdue_parts
    limit = OVERDUE * np.maximum(scene.interval(end), LEAST_NS)
    end = np.where(end - start >= limit, end, start)
    if not (end > start).any():
        return
    rows = scene.dear[free[scene.dear]]
    on = scene.overlaps.on(start, end, rows)
    hit = 2 * on >= scene.wait_ns[rows]
    rows = rows[hit]
    ns = scene.wait_ns[rows]
    if len(rows) and (ns.sum() >= RARE * scene.wall_ns or ns.max() >= FELT_NS):
        parts = scene.hold_start, np.where(end > start, end, scene.hold_start)
        fitting = int(on[hit].sum())
        yield assemble(scene, Kind.LONG_HOLD, rows, free, fitting_ns=fitting, parts=parts)
