"""What threads were doing off the GIL: by call, how long, and what getting the GIL back cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from giltrace.analysis.woken import UNKNOWN, woken_by
from giltrace.model.calls import OffKind
from giltrace.model.dense import numbered, sums
from giltrace.model.tables import I4, I8, OffGil
from giltrace.model.trace import Trace

_DESCRIPTORS: Final = 3
_FILE: Final = "FileIO."
_SOCKETS: Final = ("tcp ", "udp ", "unix ", "socket")


class Source(Enum):
    """How a call got its name."""

    CALL = "call"
    """The C function itself was seen."""
    TEXT = "source"
    """The source says so at the place where the thread let go."""
    NONE = "none"
    """It has none."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """What one thread did off the GIL in one call. Names come from the target.

    Attributes:
        thread: thread index.
        call: what it is called: ``socket.recv``; ``""`` if nothing names it.
        source: how it got that name.
        kind: what the thread did in it.
        places: numbers of the places it was called at, where most time went first.
        count: how many stretches.
        off_ns: their length together.
        cpu_ns: the CPU time the thread used in them, as far as readings tell.
        waits: how many ended in a wait for the GIL.
        wait_after_ns: how long those waits were together.
        descriptors: what file descriptors it was about, most time first, three at most.
        woken_by: of waits for locks, which threads ended how many, most first; those of which that
            is not known are left out.
    """

    thread: int
    call: str
    source: Source
    kind: OffKind
    places: tuple[int, ...]
    count: int
    off_ns: int
    cpu_ns: int
    waits: int
    wait_after_ns: int
    descriptors: tuple[str, ...] = ()
    woken_by: tuple[tuple[int, int], ...] = ()


class _Group(NamedTuple):
    """Stretches that have everything in common."""

    thread: int
    call: int
    place: int
    kind: int
    fd: int
    woken_by: int
    first_ns: int
    stretches: int
    off_ns: int
    cpu_ns: int
    waits: int
    wait_after_ns: int


@dataclass(slots=True)
class _Sum:
    """A row in the making."""

    count: int = 0
    off_ns: int = 0
    cpu_ns: int = 0
    waits: int = 0
    wait_after_ns: int = 0
    places: Counter[int] = field(default_factory=Counter)
    descriptors: Counter[str] = field(default_factory=Counter)
    woken_by: Counter[int] = field(default_factory=Counter)

    def add(self, group: _Group, descriptor: str) -> None:
        """Some more stretches."""
        self.count += group.stretches
        self.off_ns += group.off_ns
        self.cpu_ns += group.cpu_ns
        self.waits += group.waits
        self.wait_after_ns += group.wait_after_ns
        if group.place:
            self.places[group.place] += group.off_ns
        if group.woken_by != UNKNOWN:
            self.woken_by[group.woken_by] += group.stretches
        if descriptor:
            self.descriptors[descriptor] += group.off_ns


def table(trace: Trace) -> list[CallRow]:
    """All calls in which threads were off the GIL, by what they cost until the GIL was back.

    Stretches after a forced switch are not among them: the thread had not asked for that.
    """
    rows: defaultdict[tuple[int, str, Source, int], _Sum] = defaultdict(_Sum)
    for group in _groups(trace):
        process = trace.threads[group.thread].process
        descriptor = ""
        name, source = call_name(trace, group.call, group.place)
        if group.fd >= 0:
            descriptor = trace.descriptors.describe_fd(process, group.fd, group.first_ns)
            if name.startswith(_FILE) and descriptor.startswith(_SOCKETS):
                descriptor = ""  # its number was given to a socket before anyone looked
        rows[group.thread, name, source, group.kind].add(group, descriptor)
    found = [
        CallRow(
            thread,
            name,
            source,
            OffKind(kind),
            tuple(place for place, _ in total.places.most_common()),
            total.count,
            total.off_ns,
            total.cpu_ns,
            total.waits,
            total.wait_after_ns,
            tuple(what for what, _ in total.descriptors.most_common(_DESCRIPTORS)),
            tuple(total.woken_by.most_common()),
        )
        for (thread, name, source, kind), total in rows.items()
    ]
    return sorted(found, key=_cost)


def _cost(row: CallRow) -> tuple[int, int, str, int]:
    return -(row.off_ns + row.wait_after_ns), row.thread, row.call, row.kind


def call_name(trace: Trace, call: int, place: int) -> tuple[str, Source]:
    """What a call is called that was made at a place, and how that is known."""
    if call:
        return trace.calls[call].label, Source.CALL
    text = trace.expressions.of(trace.places[place]).callee if place else ""
    return (text, Source.TEXT) if text else ("", Source.NONE)


def _groups(trace: Trace) -> Iterator[_Group]:
    off = trace.off_gil
    chosen = np.flatnonzero(off.kind != OffKind.SWITCH)
    if not len(chosen):
        return
    hold = off.hold[chosen]
    woken = woken_by(trace)[chosen]
    keys = _keys(
        off.thread[chosen],
        off.call[chosen],
        trace.holds.place[hold],
        off.kind[chosen],
        trace.holds.fd[hold] + 1,
        woken - UNKNOWN,
    )
    which, group = numbered(keys)
    first = np.zeros(len(which), np.int64)
    first[group[::-1]] = np.arange(len(chosen))[::-1]
    columns = (
        np.bincount(group, minlength=len(which)),
        sums(group, off.ns[chosen], len(which)),
        sums(group, np.maximum(off.cpu_ns[chosen], 0), len(which)),
        *_waits(trace, off, chosen, group, len(which)),
    )
    for number, example in enumerate(first.tolist()):
        at = int(chosen[example])
        behind = int(off.hold[at])
        yield _Group(
            int(off.thread[at]),
            int(off.call[at]),
            int(trace.holds.place[behind]),
            int(off.kind[at]),
            int(trace.holds.fd[behind]),
            int(woken[example]),
            int(off.start[at]),
            *(int(column[number]) for column in columns),
        )


def _waits(trace: Trace, off: OffGil, chosen: I8, group: I4, groups: int) -> tuple[I8, I8]:
    """For each group how many waits followed, and their length together."""
    wait = off.next_wait[chosen]
    some = wait >= 0
    ns = trace.waits.end[wait[some]] - trace.waits.start[wait[some]]
    return np.bincount(group[some], minlength=groups), sums(group[some], ns, groups)


def _keys(*columns: npt.NDArray[np.signedinteger[Any]]) -> I8:
    """int64: equal where all columns are; these have no negative values."""
    keys = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        # Renumbered each time, so that it never gets larger than the number of rows squared.
        distinct, number = numbered(column)
        keys = numbered(keys * len(distinct) + number)[1].astype(np.int64)
    return keys
