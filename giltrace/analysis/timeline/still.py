"""Off the GIL, and not back yet: what threads do at the end of a record that goes on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from giltrace.analysis.timeline.state import OF_KIND, State
from giltrace.analysis.timeline.steps import Steps
from giltrace.model.calls import kinds_of
from giltrace.model.offgil import kind_of
from giltrace.model.trace import Trace


def still(steps: Steps, trace: Trace, threads: Collection[int]) -> Steps:
    """Steps in which some threads are, up to the end, where their last hold left them.

    What follows a thread's last hold is not on record, since the thread may have ended. Where it is
    known to live, it is still in the call in which it let go.

    Args:
        steps: of the trace.
        trace: of a recording that goes on.
        threads: those that live, as indices into ``trace.threads``.
    """
    last = steps.bounds[1:] - 1
    before = np.maximum(last - 1, 0)
    held = np.isin(steps.state[before], (State.HOLDING, State.HELD_IDLE)) & (
        last > steps.bounds[:-1]
    )
    lanes = np.flatnonzero(
        held & np.isin(steps.thread, list(threads)) & (steps.start[last] < trace.end_ns)
    )
    if not len(lanes):
        return steps
    at, hold = last[lanes], steps.ref[before[lanes]]
    unknown = np.full(len(hold), -1, np.int64)
    kind = kind_of(
        kinds_of(trace.calls)[trace.holds.call[hold]],
        trace.end_ns - steps.start[at],
        unknown,
        trace.holds.cause[hold],
    )
    state, ref = steps.state.copy(), steps.ref.copy()
    state[at], ref[at] = OF_KIND[kind], hold
    bounds = steps.bounds.copy()
    bounds[1:] += np.cumsum(np.bincount(lanes, minlength=len(steps)))
    return replace(
        steps,
        bounds=bounds,
        start=np.insert(steps.start, at + 1, trace.end_ns),
        state=np.insert(state, at + 1, State.NONE),
        ref=np.insert(ref, at + 1, -1),
    )
