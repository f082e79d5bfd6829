"""The vocabulary as data: entities as small records, everything numerous as columns.

All times are integer nanoseconds of CLOCK_MONOTONIC. A column dataclass holds arrays of one equal
length, which are read-only: a trace is shared by everyone who looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

I1: TypeAlias = npt.NDArray[np.int8]
I4: TypeAlias = npt.NDArray[np.int32]
I8: TypeAlias = npt.NDArray[np.int64]
U1: TypeAlias = npt.NDArray[np.uint8]
U2: TypeAlias = npt.NDArray[np.uint16]
U4: TypeAlias = npt.NDArray[np.uint32]
U8: TypeAlias = npt.NDArray[np.uint64]
Bool: TypeAlias = npt.NDArray[np.bool_]


class Cause(IntEnum):
    """Why a hold ended."""

    NONE = 0
    """It did not: still open when the record ends, or recording stopped during it."""
    VOLUNTARY = 1
    """No drop request named it: the thread let go by itself, to block or at its end."""
    FORCED = 2
    """A drop request named it, and it ended at a pure eval-breaker check."""
    UNKNOWN = 3
    """Neither can be proven: see docs/explanation/model.md."""


@dataclass(frozen=True, slots=True)
class Process:
    """One recorded process.

    Attributes:
        index: its place in ``trace.processes``.
        start_ns: when its recording began.
        end_ns: when it ended: the end record's time or the last event, whichever is later.
        gil_enabled: False on a free-threaded interpreter that runs without a GIL.
        lost_events: events for which there was no room.
        notes: what the recorder has to say about it, in sentences.
        status: how it ended, if the recorder knew.
        ended: the capture holds its end record.
    """

    index: int
    pid: int
    ppid: int
    python: str
    implementation: str
    executable: str
    argv: tuple[str, ...]
    backend: str
    switch_interval_ns: int
    start_ns: int
    end_ns: int
    gil_enabled: bool = True
    lost_events: int = 0
    notes: tuple[str, ...] = ()
    status: str = ""
    ended: bool = True

    @property
    def inferred(self) -> bool:
        """Its hand-offs are inferred from function calls: waits and requests were not seen."""
        return self.backend == "portable"


@dataclass(frozen=True, slots=True)
class Gil:
    """One GIL of one process.

    Attributes:
        index: its place in ``trace.gils``.
        process: index into ``trace.processes``.
        number: what its process calls it; 0 is the main interpreter's.
        interpreter: id of the interpreter it belongs to; -1 if not known.
        switch_interval_ns: the last one known.
        start_ns: since when it was watched: its creation or its process's start.
        end_ns: the end of its process.
        switch_intervals: each change on record as ``(ts_ns, interval_ns)``.
    """

    index: int
    process: int
    number: int
    interpreter: int
    switch_interval_ns: int
    start_ns: int
    end_ns: int
    switch_intervals: tuple[tuple[int, int], ...] = ()

    @property
    def wall_ns(self) -> int:
        """How long it was watched: what utilisation and contention are fractions of."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of one process.

    Attributes:
        index: its place in ``trace.threads``.
        process: index into ``trace.processes``.
        number: what its process calls it in the capture.
        tid: the kernel's thread id.
        name: its last name, or ``"thread TID"`` if it never had one. As the target gave it: show
            it through `giltrace.model.text.printable`.
        names: every name it had, as ``(since_ns, name)``.
        start_ns: when it was first seen.
        end_ns: the end of its last hold or wait.
    """

    index: int
    process: int
    number: int
    tid: int
    name: str
    names: tuple[tuple[int, str], ...]
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Place:
    """A position in Python source. Its text comes from the target: see `Thread.name`.

    Attributes:
        filename: as the code object has it; ``""`` for the unknown place.
        line: from 1; 0 if not known.
        qualname: of the function.
        column: UTF-8 bytes from 0, or None; likewise ``end_line`` and ``end_column``.
    """

    filename: str = ""
    line: int = 0
    qualname: str = ""
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None

    @property
    def basename(self) -> str:
        """The file's name without its folders."""
        return self.filename.rsplit("/", 1)[-1] or self.filename

    def __str__(self) -> str:
        """``server.py:41 in handle``, with as much of it as is known."""
        if not self.filename and not self.qualname:
            return "unknown"
        where = self.basename or "?"
        if self.line:
            where = f"{where}:{self.line}"
        return f"{where} in {self.qualname}" if self.qualname else where


UNKNOWN_PLACE = Place()


class Columns:
    """Base of the column dataclasses: arrays of one length, made read-only."""

    __slots__ = ()

    def __post_init__(self) -> None:
        lengths = set()
        for column in self.columns().values():
            column.setflags(write=False)
            lengths.add(len(column))
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """All columns by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


class Spans(Columns):
    """Columns with a start and an end."""

    __slots__ = ()

    start: I8
    end: I8

    @property
    def ns(self) -> I8:
        """int64 [n]: the length of each (computed anew at each use)."""
        return self.end - self.start


@dataclass(frozen=True, eq=False, slots=True)
class Holds(Spans):
    """Every hold, sorted by GIL and then by tenure: the order in which the GIL changed hands.

    Attributes:
        gil: int32 [n], index into ``trace.gils``.
        thread: int32 [n], index into ``trace.threads``: the holder.
        start: int64 [n], the acquire.
        end: int64 [n], the release; for an open hold the end of its process.
        tenure: int64 [n], the number the GIL gave it; 0 if not known.
        place: int32 [n], where it was released: index into ``trace.places``, 0 is unknown.
        cause: int8 [n], a `Cause`.
        stack: int32 [n], the callers of that place: index into ``trace.stacks``, 0 is none.
        call: int32 [n], the C call in which it was released: index into ``trace.calls``, 0 is
            unknown or none.
        fd: int32 [n], the file descriptor that this call is about; -1 if there is none, or not
            known.
    """

    gil: I4
    thread: I4
    start: I8
    end: I8
    tenure: I8
    place: I4
    cause: I1
    stack: I4
    call: I4
    fd: I4


@dataclass(frozen=True, eq=False, slots=True)
class Waits(Spans):
    """Every contended acquire, from the request on; sorted by GIL and then by start.

    Attributes:
        gil: int32 [n].
        thread: int32 [n], the waiter.
        start: int64 [n], the request.
        end: int64 [n], start of the hold it led to; else where the record of it ends.
        hold: int64 [n], index of that hold; -1 if it never acquired, as far as is known.
        requests: int32 [n], drop requests made during it.
    """

    gil: I4
    thread: I4
    start: I8
    end: I8
    hold: I8
    requests: I4


@dataclass(frozen=True, eq=False, slots=True)
class DropRequests(Columns):
    """Every drop request, sorted by GIL and then by time.

    Attributes:
        gil: int32 [n].
        thread: int32 [n], the waiter who made it.
        ts: int64 [n].
        hold: int64 [n], index of the hold it asks to end; -1 if that is not on record.
        early: bool [n], it was made before the switch interval was over, because of a priority.
    """

    gil: I4
    thread: I4
    ts: I8
    hold: I8
    early: Bool


@dataclass(frozen=True, eq=False, slots=True)
class Handoffs(Columns):
    """Every hand-off: a release by one thread, the next acquire by another; in order.

    Attributes:
        release: int64 [n], index of the hold that ended.
        acquire: int64 [n], index of the hold that followed, by another thread.
        latency: int64 [n] ns, for how long nobody held the GIL.
    """

    release: I8
    acquire: I8
    latency: I8


@dataclass(frozen=True, eq=False, slots=True)
class OffGil(Spans):
    """Every stretch from a release to the same thread's next request for the same GIL.

    Sorted by thread, then GIL, then time. What follows a thread's last release is not in it:
    nothing tells a thread that is blocked from one that has ended.

    Attributes:
        thread: int32 [n].
        gil: int32 [n].
        start: int64 [n], the release.
        end: int64 [n], the next wait's start, or that of the next hold if it was uncontended.
        hold: int64 [n], index of the hold before it.
        next_wait: int64 [n], index of the wait after it; -1 if the acquire was uncontended.
        call: int32 [n], the C call that the thread is in, that of the hold before it.
        kind: int8 [n], an `OffKind`: SWITCH after a forced release; else that of the call; else
            what the CPU clock tells.
        cpu_ns: int64 [n], CPU time that the thread used; -1 where no reading tells.
    """

    thread: I4
    gil: I4
    start: I8
    end: I8
    hold: I8
    next_wait: I8
    call: I4
    kind: I1
    cpu_ns: I8


@dataclass(frozen=True, eq=False, slots=True)
class CpuReadings(Columns):
    """What a thread's CPU clock showed when; sorted by thread and then by time.

    Attributes:
        thread: int32 [n].
        ts: int64 [n], when it was read; ascending within a thread.
        cpu_ns: int64 [n], never falling within a thread. Only differences mean something.
    """

    thread: I4
    ts: I8
    cpu_ns: I8


@dataclass(frozen=True, eq=False, slots=True)
class Priorities(Columns):
    """Every change of a thread's priority, sorted by thread and then by time.

    Before its first change a thread's priority is 0.

    Attributes:
        thread: int32 [n].
        ts: int64 [n], from when on; ascending within a thread.
        priority: int32 [n].
    """

    thread: I4
    ts: I8
    priority: I4

    def at(self, thread: int, ts: int) -> int:
        """The priority of a thread at a time."""
        first, last = np.searchsorted(self.thread, [thread, thread + 1])
        place = first + np.searchsorted(self.ts[first:last], ts, side="right")
        return int(self.priority[place - 1]) if place > first else 0


@dataclass(frozen=True, eq=False, slots=True)
class FunctionSpans(Spans):
    """Calls of Python functions, sorted by thread, then start, outer before inner.

    Of two calls of one thread, one is inside the other or they have nothing in common.

    Attributes:
        thread: int32 [n].
        start: int64 [n].
        end: int64 [n].
        place: int32 [n], file, first line and name of the function; 0 is unknown.
        depth: int32 [n], how many recorded frames the stack had with it: 1 is the outermost.
    """

    thread: I4
    start: I8
    end: I8
    place: I4
    depth: I4
