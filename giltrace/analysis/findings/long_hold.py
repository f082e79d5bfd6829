"""Long hold: C code keeps the GIL long after it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import FELT_NS, RARE
from giltrace.analysis.findings.overlaps import Parts
from giltrace.analysis.findings.scene import LEAST_NS, Scene
from giltrace.model.tables import Bool

OVERDUE: Final = 2
"""Switch intervals after a drop request, from which on the holder did not just react late."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits of which half or more came after a drop request, during overdue holds.

    Python code lets go within microseconds of a request. What does not was in one C call that
    keeps the GIL, or did not run at all; `Hog.not_running_ns` tells which.
    """
    hold, ts = scene.requests
    end = scene.hold_end[hold]
    overdue = np.zeros(len(scene.holder), np.bool_)
    overdue[hold] = end - ts >= OVERDUE * np.maximum(scene.interval(end), LEAST_NS)
    if not overdue.any():
        return
    rows = scene.dear[free[scene.dear]]
    on = scene.overlaps.on(Parts(scene.asked(), scene.hold_end, overdue), rows)
    hit = 2 * on >= scene.wait_ns[rows]
    rows = rows[hit]
    ns = scene.wait_ns[rows]
    if len(rows) and (ns.sum() >= RARE * scene.wall_ns or ns.max() >= FELT_NS):
        parts = Parts(scene.hold_start, scene.hold_end, overdue)
        fitting = int(on[hit].sum())
        yield assemble(scene, Kind.LONG_HOLD, rows, free, fitting_ns=fitting, parts=parts)
