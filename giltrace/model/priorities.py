"""The priorities of threads over time."""

from __future__ import annotations

import numpy as np

from giltrace.capture.events import Kind
from giltrace.model.dense import by_thread, gather, positions, rising, segments
from giltrace.model.mending import CLOCK_SKEW_NS, MAX_NS, Mended
from giltrace.model.source import Source
from giltrace.model.tables import I4, Priorities


def priorities(src: Source, mended: Mended) -> Priorities:
    """The changes of one process; threads are places in ``src.threads``.

    Program order is certain: a time that falls behind the one before it is raised to that.
    """
    at = positions(src.kind == Kind.PRIORITY)
    ts = gather(src.ts, at)
    sane = (ts >= 0) & (ts <= MAX_NS)
    mended.bad_times += len(at) - int(np.count_nonzero(sane))
    at, ts = at[sane], ts[sane]
    thread = src.ranks_of(at)
    order = by_thread(thread, len(src.threads))
    at, ts, thread = at[order], ts[order], thread[order]
    mended.backwards += rising(ts, segments(thread, len(src.threads)), slack=CLOCK_SKEW_NS)
    return Priorities(thread, ts, src.payload(at).astype(np.uint32).view(np.int32))


def renumbered(changes: Priorities, threads: I4) -> Priorities:
    """The changes with threads as indices into the trace: ``threads`` has that of each place."""
    return Priorities(gather(threads, changes.thread), changes.ts, changes.priority)
