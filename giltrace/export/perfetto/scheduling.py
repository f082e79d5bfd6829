"""What the kernel did with threads, in the form in which the viewer shows it for any trace.

It draws a thin row of states above each thread, and one for each CPU with what ran there; SQL
has them in ``thread_state`` and ``sched``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_MONOTONIC,
    GenericKernelTaskStateEvent,
    TracePacket,
)

from giltrace.export import labels
from giltrace.export.lanes import Lanes
from giltrace.export.perfetto import wire
from giltrace.export.rows import chunks
from giltrace.model.dense import segments
from giltrace.model.scheduling import Scheduled
from giltrace.model.tables import I4, I8

if TYPE_CHECKING:
    from giltrace.model import Trace
    from giltrace.model.tables import Thread

_GONE: Final = len(Scheduled)
_STATES: Final = {
    Scheduled.ON_CPU: GenericKernelTaskStateEvent.TASK_STATE_RUNNING,
    Scheduled.RUNNABLE: GenericKernelTaskStateEvent.TASK_STATE_RUNNABLE,
    Scheduled.SLEEPING: GenericKernelTaskStateEvent.TASK_STATE_INTERRUPTIBLE_SLEEP,
    # There is none for "not known" that readers accept.
    _GONE: GenericKernelTaskStateEvent.TASK_STATE_DESTROYED,
}
_MOST_CPUS: Final = 4096
"""Readers give up at a CPU of a higher number."""


def scheduling(trace: Trace, lanes: Lanes, sequence: int) -> Iterator[bytes]:
    """Packets, some at a time, of the threads that have a row of their own.

    Args:
        trace: what to export.
        lanes: of the trace.
        sequence: the packet sequence that they go on.
    """
    width = wire.padded_width(max(trace.end_ns, 0))
    bounds = segments(trace.scheduling.thread, len(trace.threads))
    for index in lanes.first_of_tid:
        for some in chunks(int(bounds[index + 1] - bounds[index])):
            rows = slice(int(bounds[index]) + some.start, int(bounds[index]) + some.stop)
            yield _encode(_changes(trace, rows), trace.threads[index], sequence, width)


def _changes(trace: Trace, rows: slice) -> tuple[I8, I8, I4]:
    """When a thread's state changes, what it is from then on, and on which CPU that happens."""
    spans = trace.scheduling
    start, end, state = spans.start[rows], spans.end[rows], spans.state[rows].astype(np.int64)
    cpu = np.minimum(spans.cpu[rows], _MOST_CPUS - 1)
    # Who is on no CPU has left the one it was on before.
    latest = np.maximum.accumulate(np.where(cpu >= 0, np.arange(len(cpu)), 0))
    cpu = np.maximum(cpu[latest], 0)
    following = spans.start[rows.start + 1 : rows.stop + 1]
    mine = spans.thread[rows.start + 1 : rows.stop + 1] == spans.thread[rows.start]
    ends = np.ones(len(end), np.bool_)
    ends[: len(mine)] = ~mine | (following != end[: len(mine)])
    at = np.flatnonzero(ends) + 1
    return (
        np.insert(start, at, end[ends]),
        np.insert(state, at, _GONE),
        np.insert(cpu, at, cpu[ends]),
    )


def _encode(changes: tuple[I8, I8, I4], thread: Thread, sequence: int, width: int) -> bytes:
    """The packets of some changes. All but the time is the same for many."""
    ts, state, cpu = changes
    kinds, of_row = np.unique(state << 32 | cpu, return_inverse=True)
    heads, tails = [], []
    for kind in kinds.tolist():
        packet = TracePacket(
            trusted_packet_sequence_id=sequence, timestamp_clock_id=BUILTIN_CLOCK_MONOTONIC
        )
        event = packet.generic_kernel_task_state_event
        event.cpu, event.tid = kind & 0xFFFF_FFFF, labels.kernel_id(thread.tid)
        event.comm, event.state = labels.thread_label(thread), _STATES[kind >> 32]
        tail = packet.SerializeToString()
        stamp = wire.open_number(wire.TIMESTAMP)
        heads.append(wire.header(wire.TRACE_PACKET, len(stamp) + width + len(tail)) + stamp)
        tails.append(tail)
    parts = np.empty(3 * len(ts), np.object_)
    parts[0::3] = np.array(heads, np.object_)[of_row]
    parts[1::3] = wire.padded_varints(ts, width)
    parts[2::3] = np.array(tails, np.object_)[of_row]
    return b"".join(parts.tolist())
