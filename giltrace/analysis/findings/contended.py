"""Contended: what is left of the waits, if it is much."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import PART, RARE
from giltrace.analysis.findings.scene import Scene
from giltrace.model.tables import Bool


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """All waits that nothing explains; what accounts for them is that somebody held the GIL."""
    rows = np.flatnonzero(free)
    lost = int(scene.wait_ns[rows].sum())
    if len(rows) and lost >= max(RARE * scene.wall_ns, PART * int(scene.wait_ns.sum())):
        fitting = int(scene.overlaps.on(scene.whole, rows).sum())
        yield assemble(scene, Kind.CONTENDED, rows, free, fitting_ns=fitting)
