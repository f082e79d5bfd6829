"""Readings of the CPU clocks of threads."""

from __future__ import annotations

import numpy as np

from giltrace.capture.events import PAYLOAD_BITS, PAYLOAD_MASK, Kind
from giltrace.model.dense import by_thread, gather, positions, rising, segments
from giltrace.model.mending import CLOCK_SKEW_NS, MAX_NS, Mended
from giltrace.model.source import Source
from giltrace.model.tables import I4, I8, CpuReadings

_HALF = 1 << PAYLOAD_BITS - 1


def cpu_readings(src: Source, mended: Mended) -> CpuReadings:
    """The readings of one process; threads are places in ``src.threads``.

    Program order is certain: neither a time nor a clock that falls behind the one before it can be
    right, so it is raised to that. Of readings at one time the last counts.
    """
    at = positions(src.kind == Kind.CPU)
    ts = gather(src.ts, at)
    # A time beyond 63 bits is negative as a signed number.
    sane = (ts >= 0) & (ts <= MAX_NS)
    mended.bad_readings += len(at) - int(np.count_nonzero(sane))
    at, ts = at[sane], ts[sane]
    thread = src.ranks_of(at)
    order = by_thread(thread, len(src.threads))
    at, ts, thread = at[order], ts[order], thread[order]
    bounds = segments(thread, len(src.threads))
    cpu = _unwrapped(src.payload(at), bounds)
    mended.bad_readings += max(rising(cpu, bounds), rising(ts, bounds, slack=CLOCK_SKEW_NS))
    last = np.ones(len(ts), np.bool_)
    np.logical_or(ts[1:] != ts[:-1], thread[1:] != thread[:-1], out=last[:-1])
    mended.duplicates += len(last) - int(np.count_nonzero(last))
    return CpuReadings(thread[last], ts[last], np.minimum(cpu[last], MAX_NS))


def _unwrapped(low: I8, bounds: I8) -> I8:
    """int64: clocks of which only the low bits were kept, from the differences between them."""
    if len(low) == 0:
        return low
    step = np.diff(low, prepend=np.int64(0))
    step += _HALF
    step &= PAYLOAD_MASK
    step -= _HALF
    first = bounds[:-1][bounds[:-1] < bounds[1:]]
    step[first] = low[first]
    # What overflows in this sum, over all threads, cancels out in the difference.
    clock = np.cumsum(step)
    offset = clock[first] - low[first]
    clock -= np.repeat(offset, np.diff(first, append=len(low)))
    return clock


def renumbered(readings: CpuReadings, threads: I4) -> CpuReadings:
    """The readings with threads as indices into the trace: ``threads`` has that of each place."""
    return CpuReadings(gather(threads, readings.thread), readings.ts, readings.cpu_ns)
