"""Large captures that look like real ones, made in moments: for measuring, not for meaning.

A server whose threads talk to clients in turns: for half of the time a CPU-bound thread runs beside
them, so that each acquire costs a switch interval and a drop request; for the other half they have
the GIL to themselves, and most acquires are uncontended.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import FLAG_AT_CHECK, FLAGS_SHIFT, PAYLOAD_SHIFT, Kind
from giltrace.capture.reader import Capture, Events, Loss
from giltrace.capture.records import (
    CodeInfo,
    End,
    ProcessEnd,
    ProcessInfo,
    SessionInfo,
    ThreadInfo,
)

_I8 = npt.NDArray[np.int64]

CPU = 0
"""The number of the CPU-bound thread; the others are the server's."""
DRAIN_NS = 20_000_000
"""The recorder empties all threads' buffers this often: the length of runs in the file."""
_CODES = 40
_UNITS = 200


def synthetic(n_events: int, *, threads: int = 8, seed: int = 1) -> Capture:
    """A capture of about ``n_events`` events of one process.

    Args:
        n_events: how many; made in cycles of seven, so a few less.
        threads: how many threads, the CPU-bound one included; at least 2.
        seed: other seeds give other captures.
    """
    rng = np.random.default_rng(seed)
    parts = [
        _quiet(n_events // 2, threads, rng),
        _contended(n_events - n_events // 2, threads, rng),
    ]
    offset = np.concatenate((np.zeros(1, np.int64), np.cumsum([part.max_ns for part in parts])))
    ts = np.concatenate([part.ts + int(start) for part, start in zip(parts, offset, strict=False)])
    kind = np.concatenate([part.kind for part in parts])
    thread = np.concatenate([part.thread for part in parts])
    flags = np.concatenate([part.flags for part in parts])
    del parts
    # Generated in time order: the acquires so far are the tenure in force.
    tenure = np.cumsum(kind == Kind.ACQUIRE)
    payload = np.where(kind == Kind.RELEASE, _places(len(kind), rng), tenure)
    data = payload << PAYLOAD_SHIFT | flags.astype(np.int64) << FLAGS_SHIFT | kind
    del payload, tenure, kind, flags
    order = np.lexsort((thread, ts // DRAIN_NS))
    events = Events(
        ts[order].view(np.uint64), data[order].view(np.uint64), thread[order].astype(np.uint32)
    )
    return _capture(events, threads, int(offset[-1]) + 1)


class _Part:
    """Events in time order."""

    def __init__(self, ts: _I8, kind: _I8, thread: _I8, flags: _I8) -> None:
        self.ts = ts.ravel()
        self.kind = np.broadcast_to(kind, ts.shape).ravel().astype(np.int8)
        self.thread = thread.ravel().astype(np.int32)
        self.flags = np.broadcast_to(flags, ts.shape).ravel().astype(np.int8)
        self.max_ns = int(self.ts[-1]) + 1_000 if len(self.ts) else 1_000


def _contended(n: int, threads: int, rng: np.random.Generator) -> _Part:
    """Each cycle: a server thread waits for the CPU-bound one, is let in, and lets go again."""
    n = max(1, n // 7)
    kind = [
        Kind.ACQUIRE,
        Kind.WAIT,
        Kind.DROP_REQUEST,
        Kind.RELEASE,
        Kind.ACQUIRE,
        Kind.WAIT,
        Kind.RELEASE,
    ]
    step = np.empty((n, 7), np.int64)
    step[:, 0] = rng.integers(500, 4_000, n)
    step[:, 1] = rng.exponential(100_000, n).astype(np.int64) + 10
    step[:, 2] = 5_000_000 + rng.integers(50_000, 120_000, n)
    step[:, 3:6] = rng.integers(300, 6_000, (n, 3))
    step[:, 6] = rng.exponential(30_000, n).astype(np.int64) + 10
    server = rng.integers(1, threads, n)
    thread = np.full((n, 7), CPU)
    thread[:, [1, 2, 4, 6]] = server[:, None]
    flags = np.zeros(7, np.int64)
    flags[3] = FLAG_AT_CHECK
    return _Part(_since(step), np.array(kind), thread, flags)


def _quiet(n: int, threads: int, rng: np.random.Generator) -> _Part:
    """Each cycle: a server thread acquires and lets go; every third had to wait for a moment."""
    n = max(1, n // 7)
    kind = [
        Kind.ACQUIRE,
        Kind.RELEASE,
        Kind.ACQUIRE,
        Kind.WAIT,
        Kind.RELEASE,
        Kind.ACQUIRE,
        Kind.RELEASE,
    ]
    step = np.empty((n, 7), np.int64)
    step[:] = rng.exponential(20_000, (n, 7)).astype(np.int64) + 10
    step[:, 5] = rng.integers(300, 6_000, n)
    thread = np.empty((n, 7), np.int64)
    first, second = rng.integers(1, threads, n), rng.integers(1, threads, n)
    third = np.where(second == threads - 1, 1, second + 1) if threads > 2 else np.full(n, CPU)
    thread[:, 0:2] = first[:, None]
    thread[:, [2, 4]] = second[:, None]
    thread[:, [3, 5, 6]] = third[:, None]
    return _Part(_since(step), np.array(kind), thread, np.zeros(7, np.int64))


def _since(step: _I8) -> _I8:
    return np.cumsum(step.ravel()).reshape(step.shape)


def _places(n: int, rng: np.random.Generator) -> _I8:
    code = np.minimum(rng.geometric(0.15, n), _CODES)
    lasti = np.minimum(rng.geometric(0.3, n), 10) * 17 % _UNITS
    words: _I8 = code | lasti << 16
    return words


def _capture(events: Events, threads: int, end_ns: int) -> Capture:
    """The records around the events."""
    # 200 code units, a line for every eight of them.
    table = bytes([0x80 | 13 << 3 | 7, 2]) * (_UNITS // 8)
    codes = [
        CodeInfo(0, code, 10 * code, f"/srv/app/module{code % 9}.py", f"Class{code}.method", table)
        for code in range(1, _CODES + 1)
    ]
    names = ["cpu", *(f"server-{i}" for i in range(1, threads))]
    return Capture(
        SessionInfo("0.1.0", ["app.py"], 0, 0),
        processes=[ProcessInfo(0, pid=4242, ppid=1, start_ns=0, python="3.11.7")],
        threads=[ThreadInfo(0, i, 4242 + i, 0, name) for i, name in enumerate(names)],
        codes=codes,
        process_ends=[ProcessEnd(0, end_ns, 0)],
        end=End(end_ns, 0, None),
        events={0: events},
        loss=Loss(ended=True),
    )
