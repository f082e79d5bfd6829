"""Following drained events: which hold or wait of each thread is open, and how long they took.

numpy does the work, at about 30 ns an event: only the flight recorder needs this.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from giltrace.capture.events import EVENT_SIZE, KIND_MASK, Kind

Open: TypeAlias = tuple[int, int]
"""An ACQUIRE or a WAIT that nothing has followed yet: its two words."""

_FOLLOWED: Final = np.zeros(KIND_MASK + 1, np.bool_)
_FOLLOWED[[Kind.ACQUIRE, Kind.RELEASE, Kind.WAIT]] = True


class Span(NamedTuple):
    """How long a hold or a wait took, and when it ended; 0 if there was none."""

    ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True)
class Taken:
    """What a block of events comes to: the longest wait and hold of those that ended in it."""

    wait: Span
    hold: Span


class Follower:
    """Follows the threads of one process.

    Attributes:
        open: what is open, by thread.
    """

    def __init__(self) -> None:
        self.open: dict[int, Open] = {}

    def take(self, runs: Sequence[tuple[int, int]], events: bytes) -> Taken:
        """Follow one block; see `CaptureWriter.events` for what it is."""
        count = len(events) // EVENT_SIZE
        words = np.frombuffer(events, "<u8", count * 2).reshape(-1, 2)
        kinds = (words[:, 1] & np.uint64(KIND_MASK)).astype(np.uint8)
        at = np.flatnonzero(_FOLLOWED[kinds])
        owner = np.repeat([run[0] for run in runs], [run[1] for run in runs])
        thread = owner[at]
        # A thread may have several runs: put them after one another.
        order = np.argsort(thread, kind="stable")
        at, thread = at[order], thread[order]
        ts = words[at, 0].astype(np.int64)
        kind = kinds[at]
        same = thread[1:] == thread[:-1]
        took = ts[1:] - ts[:-1]
        held = same & (kind[1:] == Kind.RELEASE) & (kind[:-1] == Kind.ACQUIRE)
        waited = same & (kind[1:] == Kind.ACQUIRE) & (kind[:-1] == Kind.WAIT)
        holds, waits = [_longest(took, ts, held)], [_longest(took, ts, waited)]
        first = np.flatnonzero(np.concatenate((np.ones(min(1, len(at)), np.bool_), ~same)))
        last = np.append(first[1:], len(at))[: len(first)] - 1
        for index in first.tolist():
            if (before := self.open.get(int(thread[index]))) is not None:
                spans = waits if before[1] & KIND_MASK == Kind.WAIT else holds
                ends = Kind.ACQUIRE if spans is waits else Kind.RELEASE
                if kind[index] == ends:
                    spans.append(Span(int(ts[index]) - before[0], int(ts[index])))
        self._leave_open(thread[last], words[at[last]])
        return Taken(max(waits), max(holds))

    def forget_all_but(self, threads: AbstractSet[int]) -> None:
        """Nothing is open of any other thread: those have ended."""
        self.open = {thread: one for thread, one in self.open.items() if thread in threads}

    def longest_open_ns(self, kind: Kind, now_ns: int) -> int:
        """For how long the oldest open wait (WAIT) or hold (ACQUIRE) has been so; 0: none is."""
        starts = [ts for ts, data in self.open.values() if data & KIND_MASK == kind]
        return max(0, now_ns - min(starts, default=now_ns))

    def _leave_open(self, thread: np.ndarray, words: np.ndarray) -> None:
        for number, (ts, data) in zip(thread.tolist(), words.tolist(), strict=True):
            if data & KIND_MASK == Kind.RELEASE:
                self.open.pop(number, None)
            else:
                self.open[number] = (ts, data)


def _longest(took: np.ndarray, ts: np.ndarray, these: np.ndarray) -> Span:
    at = np.flatnonzero(these)
    if not len(at):
        return Span()
    longest = at[took[at].argmax()]
    return Span(int(took[longest]), int(ts[longest + 1]))
