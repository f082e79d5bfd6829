"""The events of one process as columns that the model can work on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from giltrace.capture.events import (
    FLAGS_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
)
from giltrace.capture.reader import Events
from giltrace.model.dense import distinct, gather, pieces
from giltrace.model.mending import MAX_NS, Mended
from giltrace.model.tables import I4, I8, U1, U2, U4, U8, Bool


@dataclass(frozen=True, slots=True)
class Source:
    """The columns of one process's events in file order, and who appears in them.

    Attributes:
        ts: int64 [n]; a frame word for FRAME events, no time of its own for LOST.
        data: ``<u8`` [n].
        thread: uint32 [n].
        kind: uint8 [n]; 0 for what can be no event.
        runs: int64, where each run of events of one thread begins.
        threads: int64, the thread numbers that occur, ascending.
        gils: int64, the GIL numbers that occur, ascending.
    """

    ts: I8
    data: U8
    thread: U4
    kind: U1
    runs: I8
    threads: I8
    gils: I8

    @property
    def n_gils(self) -> int:
        """How many GILs there are to tell apart, at least 1."""
        return max(1, len(self.gils))

    def timed(self) -> Bool:
        """Bool [n]: the events whose ``ts`` is a time."""
        # ACQUIRE, RELEASE, WAIT and DROP_REQUEST are the first four, and zero wraps around.
        first: Bool = (self.kind - np.uint8(Kind.ACQUIRE)) < np.uint8(Kind.DROP_REQUEST)
        return first

    def payload(self, at: I4) -> I8:
        """int64: the payloads of the events at these file positions."""
        payload = gather(self.data, at)
        payload >>= np.uint64(PAYLOAD_SHIFT)
        return payload.view(np.int64)

    def releases(self, at: I4) -> tuple[U2, U2, U1]:
        """uint16, uint16, uint8: code, lasti and flags of the RELEASE events at these positions."""
        code, lasti = np.empty(len(at), np.uint16), np.empty(len(at), np.uint16)
        flags = np.empty(len(at), np.uint8)
        for some in pieces(len(at)):
            words = self.data.take(at[some])
            code[some], lasti[some] = words.view("<u2")[1::4], words.view("<u2")[2::4]
            flags[some] = words.view(np.uint8)[::8]
        flags >>= np.uint8(FLAGS_SHIFT)
        return code, lasti, flags

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
    kind = data.view(np.uint8)[::8] & np.uint8(KIND_MASK)
    strange = np.flatnonzero((kind - np.uint8(1)) >= np.uint8(len(Kind)))
    mended.unknown_kinds += len(strange)
    kind[strange] = 0
    runs = np.flatnonzero(thread[1:] != thread[:-1]) + 1
    runs = np.concatenate((np.zeros(min(1, len(thread)), np.int64), runs))
    threads = distinct(thread[runs])
    none = np.zeros(0, np.int64)
    src = Source(ts.view(np.int64), data, thread, kind, runs, threads, none)
    if len(ts) and int(ts.max()) > MAX_NS:
        bad = np.flatnonzero((ts > np.uint64(MAX_NS)) & src.timed())
        mended.bad_times += len(bad)
        kind[bad] = 0
    return replace(src, gils=_gils(src))


def _gils(src: Source) -> I8:
    numbers = src.data.view(np.uint8)[1::8]
    if len(numbers) and numbers.min() == numbers.max():
        return numbers[:1].astype(np.int64)
    return distinct(numbers[src.timed()])
