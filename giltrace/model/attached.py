"""Events that say more about a release: which release each of them belongs to, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.capture.events import FD_MASK, Kind
from giltrace.model.dense import constant, gather, positions
from giltrace.model.source import Source
from giltrace.model.tables import I4

_NO_FD: Final = -1


@dataclass(frozen=True, slots=True)
class Behind:
    """What the events behind releases say, in file order.

    Attributes:
        stack: int32 [n], the stack of each RELEASE; 0 elsewhere, and if there is none.
        fd: int32 [n], the file descriptor that each RELEASE is about; -1 likewise.
    """

    stack: I4
    fd: I4


def attached(src: Source, kind: Kind) -> tuple[I4, I4]:
    """The events of a kind that come behind a RELEASE of their thread.

    Other events that belong to it may stand in between, but not one that has a life of its own.

    Returns:
        int32, int32: the file positions of the releases, and of the events behind them; thread by
        thread, in program order.
    """
    at, rank = src.by_thread()
    kinds = gather(src.kind, at)
    mine = np.flatnonzero(kinds == kind)
    # ACQUIRE, RELEASE, WAIT and DROP_REQUEST are the first four; after LOST nothing is certain.
    heads = positions(((kinds - np.uint8(1)) < np.uint8(4)) | (kinds == Kind.LOST))
    before = np.searchsorted(heads, mine) - 1
    mine, before = mine[before >= 0], before[before >= 0]
    head = heads[before]
    sound = (kinds[head] == Kind.RELEASE) & (rank[head] == rank[mine])
    return at[head[sound]], at[mine[sound]]


def fd_of_events(src: Source) -> I4:
    """int32 [events in file order]: the descriptor that each RELEASE is about, -1 elsewhere."""
    if not src.has(Kind.DETAIL):
        return constant(_NO_FD, len(src.kind), np.int32)
    owner, detail = attached(src, Kind.DETAIL)
    fd_of_event = np.full(len(src.kind), _NO_FD, np.int32)
    # What is no descriptor, but has its highest bit set, is below 0 as a signed number.
    fd = (src.payload(detail) & FD_MASK).astype(np.uint32).view(np.int32)
    fd_of_event[owner] = np.maximum(fd, _NO_FD)
    return fd_of_event
