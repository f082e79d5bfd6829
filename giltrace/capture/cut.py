"""Cutting a recording in two at one time for all its threads, so that the rest stands alone.

Threads are drained one after the other, so of two blocks of events the second may hold some of one
thread that are older than the newest of another thread in the first. When the first has gone, what
is complete is what is younger than all of it: the rest of the second has to go with it. Of what has
gone, only what each thread was doing last is remembered, as a `Past`. So a capture that begins in
the middle knows from its first moment on who holds the GIL, who waits for it, and who is off it in
which call.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import (
    EVENT_SIZE,
    FLAG_SYNTHETIC,
    FLAGS_SHIFT,
    GIL_MASK,
    GIL_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
)

U64: TypeAlias = npt.NDArray[np.uint64]
U32: TypeAlias = npt.NDArray[np.uint32]
U8: TypeAlias = npt.NDArray[np.uint8]
I8: TypeAlias = npt.NDArray[np.int64]
Bool: TypeAlias = npt.NDArray[np.bool_]

_WORDS: Final = EVENT_SIZE // 8
_KIND: Final = np.uint64(KIND_MASK)
# More than a release ever has; damage could make them endless.
_MOST_DETAILS: Final = 256


def _among(*kinds: Kind) -> Bool:
    table = np.zeros(KIND_MASK + 1, np.bool_)
    table[list(kinds)] = True
    return table


_STATES: Final = _among(Kind.ACQUIRE, Kind.RELEASE, Kind.WAIT)
# What says more about a RELEASE, and about any event before it.
_DETAILS: Final = _among(Kind.FRAME, Kind.DETAIL)
_MORE: Final = _DETAILS | _among(Kind.CPU, Kind.SPAN_END)
# Their times ascend within a thread.
_TIMED: Final = _STATES | _among(Kind.DROP_REQUEST, Kind.CPU, Kind.SPAN_END, Kind.PRIORITY)


@dataclass(frozen=True, slots=True)
class Past:
    """What matters of events that have gone.

    Attributes:
        threads: uint32 [n], sorted.
        words: uint64 [n, 2]: of each thread the last ACQUIRE, the last of its states with its
            details, and the last PRIORITY, in the order in which they came.
        tenures: the highest tenure of each GIL.
    """

    threads: U32
    words: U64
    tenures: dict[int, int]

    def busy(self) -> set[int]:
        """The threads that held the GIL or waited for it."""
        names, _, state = _states(self.threads, self.words[:, 1] & _KIND)
        return set(names[(state == Kind.ACQUIRE) | (state == Kind.WAIT)].tolist())

    def without(self, threads: AbstractSet[int]) -> Past:
        """The same, with these threads forgotten."""
        kept = np.isin(self.threads, list(threads), invert=True)
        return Past(self.threads[kept], self.words[kept], self.tenures)

    def events(self, cut_ns: int, among: AbstractSet[int]) -> tuple[U32, U64]:
        """Events that tell it, as if recording had begun at ``cut_ns``.

        Args:
            cut_ns: none of the events is earlier.
            among: the threads whose events they are.

        Returns:
            The thread of each, and its two words.
        """
        known = np.isin(self.threads, list(among))
        threads, words = self.threads[known], self.words[known]
        kept = _sound(threads, words[:, 1] & _KIND)
        threads, words = threads[kept], words[kept]
        kind = words[:, 1] & _KIND
        late = _TIMED[kind] & (words[:, 0] < np.uint64(cut_ns))
        words[late, 0] = cut_ns
        words[late & (kind == Kind.ACQUIRE), 1] |= np.uint64(FLAG_SYNTHETIC << FLAGS_SHIFT)
        _number(words, self.tenures)
        return threads, words


NO_PAST: Final = Past(np.zeros(0, np.uint32), np.zeros((0, _WORDS), np.uint64), {})


def words_of(events: bytes | memoryview) -> U64:
    """Events as two columns, uint64 [n, 2], which cannot be written."""
    return np.frombuffer(events, "<u8").reshape(-1, _WORDS)


def owners(runs: U32) -> U32:
    """The thread of each event of these runs."""
    return np.repeat(runs[:, 0], runs[:, 1])


def runs_of(threads: U32) -> U32:
    """The runs that events of these threads come in."""
    starts = np.flatnonzero(np.diff(threads.astype(np.int64), prepend=-1))
    counts = np.diff(starts, append=len(threads))
    return np.stack((threads[starts], counts.astype(np.uint32)), axis=1)


@dataclass(frozen=True, slots=True)
class Digest:
    """What there is to know about some events without looking at them again.

    Attributes:
        threads: whose they are.
        headless: those whose first event here says more about one that is not here.
        times: when the first and the last of them happened; None: of none is that known.
        past: what matters of them when they have gone.
    """

    threads: frozenset[int]
    headless: frozenset[int]
    times: tuple[int, int] | None
    past: Past


def digest(runs: U32, words: U64) -> Digest:
    """Look at some events: this is done for all that ever come, and takes about 20 ns for each."""
    kind = (words[:, 1] & _KIND).astype(np.uint8)
    names, first, row = np.unique(runs[:, 0], return_index=True, return_inverse=True)
    starts = np.cumsum(runs[:, 1]) - runs[:, 1]
    ts = words[_TIMED[kind], 0]
    return Digest(
        frozenset(names.tolist()),
        frozenset(names[_MORE[kind[starts[first]]]].tolist()),
        (int(ts.min()), int(ts.max())) if len(ts) else None,
        _past(names, np.repeat(row, runs[:, 1]), words, kind),
    )


def past(threads: U32, words: U64) -> Past:
    """What matters of some events when they have gone."""
    names, row = np.unique(threads, return_inverse=True)
    return _past(names, row, words, (words[:, 1] & _KIND).astype(np.uint8))


def together(pasts: Sequence[Past]) -> Past:
    """The past that comes of some, each after the one before it."""
    whole = past(
        np.concatenate([one.threads for one in pasts]), np.concatenate([one.words for one in pasts])
    )
    tenures: dict[int, int] = {}
    for one in pasts:
        for gil, tenure in one.tenures.items():
            tenures[gil] = max(tenure, tenures.get(gil, 0))
    return Past(whole.threads, whole.words, tenures)


def after(cut_ns: int, threads: U32, words: U64, begun: AbstractSet[int]) -> Bool:
    """Which of some events belong to a capture that begins at a time, and not to its past.

    Args:
        cut_ns: the time: what happened then still belongs to the past.
        threads: the thread of each event.
        words: the events.
        begun: threads of which there are events in the capture already.
    """
    order = np.argsort(threads, kind="stable")
    thread, kind = threads[order], words[order, 1] & _KIND
    position = np.arange(len(order))
    starts = np.flatnonzero(np.diff(thread.astype(np.int64), prepend=-1))
    late = _TIMED[kind] & (words[order, 0] > np.uint64(cut_ns))
    # A SPAN has the time of its beginning, and comes in with its end: only whole ones do.
    whole = np.concatenate(([False], (thread[1:] == thread[:-1]) & (kind[:-1] == Kind.SPAN)))
    late &= (kind != Kind.SPAN_END) | whole
    late[np.flatnonzero(late & (kind == Kind.SPAN_END)) - 1] = True
    late |= np.isin(thread, list(begun))
    kept = np.empty(len(order), np.bool_)
    if len(order):
        first = np.minimum.reduceat(np.where(late, position, len(order)), starts)
        counts = np.diff(starts, append=len(order))
        kept[order] = position >= np.repeat(first, counts)
    return kept


def clip_spans(words: U64, cut_ns: int) -> U64:
    """The same events, but calls that began before a time are shown from then on."""
    early = (words[:, 1] & _KIND == Kind.SPAN) & (words[:, 0] < np.uint64(cut_ns))
    if early.any():
        words = words.copy()
        words[early, 0] = cut_ns
    return words


def _past(names: U32, row: I8, words: U64, kind: U8) -> Past:
    """See `past`; ``row`` says for each event whose of these threads it is."""
    state = _last(np.flatnonzero(_STATES[kind]), row, len(names))
    acquires = np.flatnonzero(kind == Kind.ACQUIRE)
    details = np.flatnonzero(_DETAILS[kind])
    kept = (
        state,
        _last(acquires, row, len(names)),
        _last(np.flatnonzero(kind == Kind.PRIORITY), row, len(names)),
        _first(details[details > state[row[details]]], row),
    )
    at = np.unique(np.concatenate(kept))
    at = at[at >= 0]
    at = at[np.argsort(row[at], kind="stable")]
    return Past(names[row[at]], words[at], _tenures(words[acquires, 1]))


def _last(at: I8, row: I8, rows: int) -> I8:
    """The last of these positions of each thread; -1 if it has none."""
    last = np.full(rows, -1)
    last[row[at]] = at  # of several the last one stays
    return last


def _first(at: I8, row: I8) -> I8:
    """These positions, but only so many of each thread as there can be in good order."""
    at = at[np.argsort(row[at], kind="stable")]
    rank: I8 = np.arange(len(at)) - np.searchsorted(row[at], row[at])
    kept: I8 = at[rank < _MOST_DETAILS]
    return kept


def _states(threads: U32, kind: U64) -> tuple[U32, I8, U64]:
    """The threads in a `Past`, whose each of its events is, and the last state of each."""
    names, row = np.unique(threads, return_inverse=True)
    state = np.zeros(len(names), np.uint64)
    states = np.flatnonzero(_STATES[kind])
    state[row[states]] = kind[states]
    return names, row, state


def _sound(threads: U32, kind: U64) -> Bool:
    """Which of the events of a `Past` say what goes on: not what is over, nor what nothing says."""
    names, row, state = _states(threads, kind)
    acquired = np.zeros(len(names), np.bool_)
    acquired[row[kind == Kind.ACQUIRE]] = True
    off = (acquired & (state == Kind.RELEASE))[row]
    over = (kind == Kind.ACQUIRE) & (state == Kind.WAIT)[row]
    after_hold = (kind == Kind.RELEASE) | _DETAILS[kind]
    sound: Bool = ~over & (off | ~after_hold)
    return sound


def _tenures(acquires: U64) -> dict[int, int]:
    """The highest tenure of each GIL, from the second words of these acquires."""
    if not len(acquires):
        return {}
    gil = acquires >> np.uint64(GIL_SHIFT) & np.uint64(GIL_MASK)
    tenure = acquires >> np.uint64(PAYLOAD_SHIFT)
    if gil.min() == gil.max():  # nearly always
        return {int(gil[0]): int(tenure.max())}
    return {int(one): int(tenure[gil == one].max()) for one in np.unique(gil)}


def _number(words: U64, highest: dict[int, int]) -> None:
    """Number the holds at a cut so that none is missing between them and the later ones."""
    acquires = np.flatnonzero(words[:, 1] & _KIND == Kind.ACQUIRE)
    data = words[acquires, 1]
    gil = data >> np.uint64(GIL_SHIFT) & np.uint64(GIL_MASK)
    low = np.uint64((1 << PAYLOAD_SHIFT) - 1)
    for one in np.unique(gil).tolist():
        mine = acquires[gil == one]
        mine = mine[np.argsort(words[mine, 1] >> np.uint64(PAYLOAD_SHIFT), kind="stable")]
        last = highest[one]
        numbers = np.arange(max(1, last - len(mine) + 1), last + 1, dtype=np.uint64)
        mine = mine[len(mine) - len(numbers) :]
        words[mine, 1] = words[mine, 1] & low | numbers << np.uint64(PAYLOAD_SHIFT)
