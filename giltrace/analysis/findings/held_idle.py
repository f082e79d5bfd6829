"""Held idle: waits for a thread that holds the GIL and does not run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import RARE
from giltrace.analysis.findings.scene import LEAST_NS, Scene
from giltrace.model.offgil import READING_INTERVAL_NS
from giltrace.model.tables import Bool


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits that fell mostly on holds whose thread did not run for half of them or more.

    Those that a long hold explains are evidence here, too, but counted there.
    """
    if not len(scene.trace.cpu):
        return
    held = scene.hold_end - scene.hold_start
    idle = (2 * scene.not_running_ns >= held) & (held >= READING_INTERVAL_NS)
    if not idle.any():
        return
    parts = scene.hold_start, np.where(idle, scene.hold_end, scene.hold_start)
    rows = np.flatnonzero(scene.wait_ns >= LEAST_NS)
    on = scene.overlaps.on(*parts, rows)
    hit = 2 * on >= scene.wait_ns[rows]
    rows = rows[hit]
    if scene.wait_ns[rows].sum() >= RARE * scene.wall_ns and len(rows):
        fitting = int(on[hit].sum())
        yield assemble(scene, Kind.HELD_IDLE, rows, free, fitting_ns=fitting, parts=parts)
