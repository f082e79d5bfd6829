"""The events of one process as columns that the model can work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import (
    FLAGS_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
)
from giltrace.capture.reader import Events
from giltrace.model.dense import distinct, gather, pieces, ranks
from giltrace.model.mending import MAX_NS, Mended
from giltrace.model.tables import I4, I8, U1, U8, Bool

LaneIds: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(slots=True)
class Source:
    """The columns of one process's events in file order, and who appears in them.

    Which thread an event is of is known run by run: a recorder writes many events of one thread at
    a time.

    Attributes:
        ts: int64 [n]; a frame word for FRAME events, no time of its own for LOST and DETAIL, and
            for SPAN one that is not in the order of the others.
        data: ``<u8`` [n].
        kind: uint8 [n]; 0 for what can be no event.
        runs: int64 [runs], where each run of events of one thread begins.
        run_ranks: int32 [runs], the place of its thread in ``threads``.
        threads: int64, the thread numbers that occur, ascending.
        gils: int64, the GIL numbers that occur, ascending.
    """

    ts: I8
    data: U8
    kind: U1
    runs: I8
    run_ranks: I4
    threads: I8
    gils: I8

    @property
    def n_gils(self) -> int:
        """How many GILs there are to tell apart, at least 1."""
        return max(1, len(self.gils))

    def has(self, kind: Kind) -> bool:
        """Whether there is any event of that kind."""
        return bool((self.kind == kind).any())

    def timed(self) -> Bool:
        """Bool [n]: the events that say what happened to a GIL when."""
        # ACQUIRE, RELEASE, WAIT and DROP_REQUEST are the first four, and zero wraps around.
        first: Bool = (self.kind - np.uint8(Kind.ACQUIRE)) < np.uint8(Kind.DROP_REQUEST)
        return first

    def by_thread(self) -> tuple[I4, LaneIds]:
        """File positions of all events, thread by thread in program order.

        Returns:
            int32, and uint16 or uint32: the position of each, and the place of its thread in
            ``threads``.
        """
        # 16 bits are sorted by radix in linear time.
        narrow = np.uint16 if len(self.threads) * self.n_gils <= 1 << 16 else np.uint32
        rank: LaneIds = self.run_ranks.astype(narrow)
        # Whole runs are moved, which they are sorted for.
        length = np.diff(self.runs, append=len(self.kind))
        order = np.argsort(rank, kind="stable")
        length = length[order]
        shift = self.runs[order] - (np.cumsum(length) - length)
        at = np.repeat(shift.astype(np.int32), length)
        for some in pieces(len(at)):
            at[some] += np.arange(some.start, some.stop, dtype=np.int32)
        return at, np.repeat(rank[order], length)

    def ranks_of(self, at: I4) -> I4:
        """int32: the thread of each of these events, as a place in ``threads``."""
        found = np.empty(len(at), np.int32)
        for some in pieces(len(at)):
            found[some] = self.run_ranks[np.searchsorted(self.runs, at[some], side="right") - 1]
        return found

    def payload(self, at: I4) -> I8:
        """int64: the payloads of the events at these file positions."""
        return payloads(gather(self.data, at))

    def hand_over(self, at: I4) -> tuple[I8, U8]:
        """Times and data words of the events at these file positions; here no events are left.

        A large capture should not be in memory twice.
        """
        ts = gather(self.ts, at)
        self.ts = np.zeros(0, np.int64)
        data = gather(self.data, at)
        self.data, self.kind = np.zeros(0, np.uint64), np.zeros(0, np.uint8)
        self.runs, self.run_ranks = np.zeros(0, np.int64), np.zeros(0, np.int32)
        return ts, data

    def gil(self, at: I4) -> U1:
        """uint8: the GIL numbers of the events at these file positions."""
        gil = np.empty(len(at), np.uint8)
        for some in pieces(len(at)):
            gil[some] = self.data.take(at[some]).view(np.uint8)[1::8]
        return gil


def read_source(events: Events, mended: Mended) -> Source:
    """The columns of one process, with what can be no event taken out of sight (kind 0)."""
    # Little-endian by format, so each field that fills whole bytes can be read in place.
    data = np.ascontiguousarray(events.data, dtype="<u8")
    ts = np.ascontiguousarray(events.ts, dtype="<u8")
    thread = np.ascontiguousarray(events.thread)
    kind = kinds(data)
    strange = np.flatnonzero((kind - np.uint8(1)) >= np.uint8(len(Kind)))
    mended.unknown_kinds += len(strange)
    kind[strange] = 0
    runs = np.flatnonzero(thread[1:] != thread[:-1]) + 1
    runs = np.concatenate((np.zeros(min(1, len(thread)), np.int64), runs))
    first = thread[runs]
    threads = distinct(first)
    none = np.zeros(0, np.int64)
    src = Source(ts.view(np.int64), data, kind, runs, ranks(first, threads), threads, none)
    if len(ts) and int(ts.max()) > MAX_NS:
        bad = np.flatnonzero((ts > np.uint64(MAX_NS)) & src.timed())
        mended.bad_times += len(bad)
        kind[bad] = 0
    src.gils = _gils(src)
    return src


def kinds(data: U8) -> U1:
    """uint8: the kinds that data words name."""
    return data.view(np.uint8)[::8] & np.uint8(KIND_MASK)


def payloads(data: U8) -> I8:
    """int64: the payloads of data words."""
    return (data >> np.uint64(PAYLOAD_SHIFT)).view(np.int64)


def flags(data: U8) -> U1:
    """uint8: the flags of data words."""
    return (data.view(np.uint8)[::8] >> np.uint8(FLAGS_SHIFT)).astype(np.uint8)


def _gils(src: Source) -> I8:
    timed = src.timed()
    if not timed.any():
        return np.zeros(0, np.int64)
    numbers = src.data.view(np.uint8)[1::8]
    if numbers.min() == numbers.max():
        return numbers[:1].astype(np.int64)
    return distinct(numbers[timed])
