"""Where a window begins: in the middle of everything. Making a sound beginning of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import EVENT_SIZE, FLAG_SYNTHETIC, FLAGS_SHIFT, KIND_MASK, Kind
from giltrace.record.follow import Open

Runs: TypeAlias = Sequence[tuple[int, int]]

_WORDS: Final = EVENT_SIZE // 8
_KIND: Final = np.uint64(KIND_MASK)


def _among(*kinds: Kind) -> npt.NDArray[np.bool_]:
    table = np.zeros(KIND_MASK + 1, np.bool_)
    table[list(kinds)] = True
    return table


# What says more about an event before it, and what has a time at which something happened.
_MORE: Final = _among(Kind.FRAME, Kind.CPU, Kind.DETAIL, Kind.SPAN_END)
_TIMED: Final = _among(Kind.ACQUIRE, Kind.RELEASE, Kind.WAIT, Kind.DROP_REQUEST)


def earliest_ns(events: bytes) -> int | None:
    """When the first of these events happened; None: of none is that known."""
    words = np.frombuffer(events, "<u8").reshape(-1, _WORDS)
    ts = words[_TIMED[words[:, 1] & _KIND], 0]
    return int(ts.min()) if len(ts) else None


def still_open(open_before: Mapping[int, Open], start_ns: int) -> tuple[Runs, bytes]:
    """Events for what was open when the window began: one for each thread, no earlier than that."""
    words = np.array(list(open_before.values()), "<u8").reshape(-1, _WORDS)
    late = words[:, 0] < start_ns
    acquires = (words[:, 1] & _KIND) == Kind.ACQUIRE
    words[late & acquires, 1] |= np.uint64(FLAG_SYNTHETIC << FLAGS_SHIFT)
    words[late, 0] = start_ns
    return [(thread, 1) for thread in open_before], words.tobytes()


def priorities_then(priorities: Mapping[int, int], start_ns: int) -> tuple[Runs, bytes]:
    """Events for the priorities that threads had when the window began."""
    words = np.array([(start_ns, data) for data in priorities.values()], "<u8")
    return [(thread, 1) for thread in priorities], words.tobytes()


class Beginnings:
    """Takes off the beginning of each thread's events what belongs to an event that has gone."""

    def __init__(self, start_ns: int) -> None:
        """The window begins at ``start_ns``; calls that began before are shown from then on."""
        self._start_ns = start_ns
        self._begun: set[int] = set()

    def trim(self, runs: Runs, events: bytes) -> tuple[Runs, bytes]:
        """The rest of a block. Blocks come in their order."""
        words = np.frombuffer(events, "<u8").reshape(-1, _WORDS).copy()
        kind = words[:, 1] & _KIND
        words[(kind == Kind.SPAN) & (words[:, 0] < self._start_ns), 0] = self._start_ns
        kept = np.ones(len(words), np.bool_)
        rest, at = [], 0
        for thread, count in runs:
            left = count
            if thread not in self._begun:
                sound = np.flatnonzero(~_MORE[kind[at : at + count]])
                left = count - int(sound[0]) if len(sound) else 0
                kept[at : at + count - left] = False
            if left:
                self._begun.add(thread)
                rest.append((thread, left))
            at += count
        return rest, words[kept].tobytes()
