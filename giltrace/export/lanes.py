"""Lanes: one thread's dealings with one GIL. Each becomes a row of state slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from giltrace.export import labels
from giltrace.export.rows import chunks
from giltrace.model.tables import I4, I8, Gil, Thread

if TYPE_CHECKING:
    from giltrace.model import Trace


@dataclass(frozen=True, slots=True)
class Lane:
    """One thread on one GIL.

    Attributes:
        index: its place in `Lanes.all`.
        thread: whose.
        gil: which.
        is_main: it is the row of its thread. Not so for a thread's further GILs, nor for a thread
            without a known id or with the ids, process and thread, that an earlier one had:
            formats that know threads by their ids would mix the two.
    """

    index: int
    thread: Thread
    gil: Gil
    is_main: bool


class Lanes:
    """All lanes of a trace that hold or wait at least once, by thread and then by GIL.

    Attributes:
        all: the lanes.
        first_of_tid: indices of the threads that were the first to have their ids.
    """

    def __init__(self, trace: Trace) -> None:
        self._gils = max(1, len(trace.gils))
        self._keys = self._distinct(trace)
        by_id: dict[tuple[int, int], int] = {}
        for thread in trace.threads:
            if tid := labels.kernel_id(thread.tid):
                pid = trace.processes[thread.process].pid
                by_id.setdefault((pid, tid), thread.index)
        self.first_of_tid = tuple(by_id.values())
        self.all: list[Lane] = []
        last = -1
        for index, key in enumerate(self._keys.tolist()):
            thread = trace.threads[key // self._gils]
            is_main = thread.index != last and thread.index in self.first_of_tid
            self.all.append(Lane(index, thread, trace.gils[key % self._gils], is_main))
            last = thread.index

    def of(self, thread: I4, gil: I4) -> I8:
        """int64 [n]: index of the lane of each pair; pairs that have none give nonsense."""
        return np.searchsorted(self._keys, self._key(thread, gil))

    def _key(self, thread: I4, gil: I4) -> I8:
        return thread.astype(np.int64) * self._gils + gil

    def _distinct(self, trace: Trace) -> I8:
        found = [np.zeros(0, np.int64)]
        for table in (trace.holds, trace.waits):
            found += [
                np.unique(self._key(table.thread[part], table.gil[part]))
                for part in chunks(len(table))
            ]
        return np.unique(np.concatenate(found))
