"""All kinds of findings, in the order in which they may count waits; and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from giltrace.analysis.findings import (
    contended,
    convoy,
    equals,
    held_idle,
    inversion,
    long_hold,
    needless,
    ping_pong,
    starvation,
)
from giltrace.analysis.findings.assembly import Found
from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.analysis.findings.healthy import healthy
from giltrace.analysis.findings.scene import Scene
from giltrace.model.tables import Bool
from giltrace.model.trace import Trace

Finder = Callable[[Scene, Bool], Iterator[Found]]
"""Given a GIL, and its waits that no finding counts yet (bool), what it finds."""

FINDERS: Final[tuple[Finder, ...]] = (
    # A cause that makes waits long by itself comes before the patterns that it would blur.
    long_hold.find,
    held_idle.find,
    inversion.find,
    starvation.find,
    convoy.find,
    equals.find,
    ping_pong.find,
    # Another view of waits that mostly are counted above.
    needless.find,
    # What is left.
    contended.find,
)


def find_all(trace: Trace) -> tuple[Finding, ...]:
    """All that is the matter with all GILs of a trace, what lost most time first.

    Each wait is counted in the ``lost_ns`` of one finding at most. A GIL with which nothing is the
    matter has one finding that says so. There is none about a GIL that was never held, nor about
    one whose hand-offs are inferred: its waits were not seen.
    """
    found: list[Finding] = []
    for gil in trace.gils:
        here = trace.holds_of(gil.index)
        if here.start == here.stop or trace.processes[gil.process].inferred:
            continue
        found += _of_gil(Scene(trace, gil))
    return tuple(sorted(found, key=_rank))


def _of_gil(scene: Scene) -> list[Finding]:
    free = np.ones(len(scene.waiter), np.bool_)
    found = []
    for finder in FINDERS:
        for one in finder(scene, free):
            free[one.counted] = False
            found.append(one.finding)
    return found or [healthy(scene)]


def _rank(finding: Finding) -> tuple[int, int, int, int]:
    kinds = list(Kind)
    return -finding.lost_ns, -finding.shared_ns, kinds.index(finding.kind), finding.gil
