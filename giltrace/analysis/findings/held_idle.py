"""Held idle: waits for a thread that holds the GIL and does not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import RARE
from giltrace.analysis.findings.overlaps import Parts
from giltrace.analysis.findings.scene import LEAST_NS, Scene
from giltrace.model.offgil import READING_INTERVAL_NS
from giltrace.model.tables import Bool

RUNS: Final = 0.1
"""Who runs for a smaller part of a hold blocks in it; a kernel that is busy gives more."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits that fell mostly on holds whose thread did not run for half of them or more.

    A hold that ended soon after it was asked to is none of these if its thread did run now and
    then: the kernel shared out the cores, and the hold would have lasted as long without that.
    Waits that a long hold explains are evidence here, too, but counted there.
    """
    if not len(scene.trace.cpu) and not len(scene.trace.scheduling):
        return
    held = scene.hold_end - scene.hold_start
    idle = (2 * scene.not_running_ns >= held) & (held >= READING_INTERVAL_NS)
    idle &= ~(_prompt(scene) & (held - scene.not_running_ns >= RUNS * held))
    if not idle.any():
        return
    parts = Parts(scene.hold_start, scene.hold_end, idle)
    rows = np.flatnonzero(scene.wait_ns >= LEAST_NS)
    on = scene.overlaps.on(parts, rows)
    hit = 2 * on >= scene.wait_ns[rows]
    rows = rows[hit]
    if scene.wait_ns[rows].sum() >= RARE * scene.wall_ns and len(rows):
        fitting = int(on[hit].sum())
        yield assemble(scene, Kind.HELD_IDLE, rows, free, fitting_ns=fitting, parts=parts)


def _prompt(scene: Scene) -> Bool:
    """Bool [holds]: it ended within half a switch interval of being asked to."""
    hold, ts = scene.requests
    end = scene.hold_end[hold]
    prompt = np.zeros(len(scene.holder), np.bool_)
    prompt[hold] = (ts <= end) & (end - ts < scene.stall_ns(end))
    return prompt
