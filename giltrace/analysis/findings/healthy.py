"""Healthy: nothing is the matter with a GIL, and why."""

from __future__ import annotations

import numpy as np

from giltrace.analysis.findings.assembly import recorded
from giltrace.analysis.findings.convoy import stalls
from giltrace.analysis.findings.finding import Finding, Grounds, Health, Kind
from giltrace.analysis.findings.scene import Scene
from giltrace.analysis.summary import covered_ns


def healthy(scene: Scene) -> Finding:
    """The finding about a GIL that there is no other one about."""
    waited = int(scene.wait_ns.sum())
    held = int((scene.hold_end - scene.hold_start).sum())
    contended = covered_ns(scene.wait_start, scene.wait_end)
    everything = np.ones(len(scene.waiter), np.bool_)
    wall = scene.wall_ns
    return Finding(
        kind=Kind.HEALTHY,
        gil=scene.gil.index,
        victims=(),
        hogs=(),
        calls=(),
        threads=0,
        waits=0,
        lost_ns=0,
        shared_ns=0,
        max_ns=0,
        interval_ns=0,
        overdue_ns=0,
        switch_interval_ns=scene.gil.switch_interval_ns,
        start_ns=scene.gil.start_ns,
        end_ns=scene.gil.end_ns,
        evidence=(),
        grounds=Grounds(
            cases=len(scene.holder),
            fitting_ns=wall - min(wall, contended),
            of_ns=wall,
            recorded=recorded(scene),
        ),
        health=Health(
            utilisation=min(1.0, held / wall),
            contention=min(1.0, contended / wall),
            acquires=len(scene.holder),
            waits=len(scene.waiter),
            wait_ns=waited,
            longest_wait_ns=int(scene.wait_ns.max(initial=0)),
            stalls=len(stalls(scene, everything)),
        ),
    )
