"""The outside world: which stretches off the GIL wait for an answer, and how long that takes.

A client that sends its next request once it has the reply to the last one makes a server wait
for as long as it thinks. When the server answers sooner, the client's next request comes sooner,
too. So the time of a reply is counted from the send that it answers, not from the receive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from giltrace.analysis.calls import call_name
from giltrace.analysis.whatif.terms import SHORT_NS, USUAL_WAKE_NS, Work
from giltrace.model.tables import I8, Bool
from giltrace.model.trace import Trace

_LEAST: Final = 8
_FENCE: Final = 3
"""Interquartile ranges above the upper quartile from which on a reply is out of the ordinary."""
_TURNS_NS: Final = 12_000_000
"""A few turns of the kernel: 3 to 4 ms each on most machines."""

_RECEIVES: Final = frozenset(
    (
        *("accept", "epoll_wait", "kevent", "poll", "recv", "recv_bytes", "recv_bytes_into"),
        *("recv_into", "recv_json", "recv_multipart", "recv_pyobj", "recv_string", "recvfrom"),
        *("recvfrom_into", "recvmsg", "recvmsg_into", "select"),
    )
)
_SENDS: Final = frozenset(
    (
        *("send", "send_bytes", "send_json", "send_multipart", "send_pyobj", "send_string"),
        *("sendall", "sendfile", "sendmsg", "sendto"),
    )
)


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases of one thread in all of the recording, in ns of the clock.

    Attributes:
        ask: when each began to want the GIL; likewise ``end``, the last release of it.
        off: the time until the next one asks; 0 for the last.
        last: index of the hold that it ends with.
        first: index of the hold that it begins with.
    """

    thread: int
    first: I8
    last: I8
    ask: I8
    end: I8
    off: I8


def directions(trace: Trace, phases: Phases) -> tuple[Bool, Bool]:
    """In which phases, as bool [phases], it goes off to receive, and in which to send."""
    calls, places = trace.holds.call[phases.last], trace.holds.place[phases.last]
    pairs, which = np.unique(
        calls.astype(np.int64) << 32 | places.astype(np.int64), return_inverse=True
    )
    receives, sends = np.zeros(len(pairs), np.bool_), np.zeros(len(pairs), np.bool_)
    for number, pair in enumerate(pairs.tolist()):
        name = call_name(trace, pair >> 32, pair & 0xFFFFFFFF)[0]
        verb = name.rpartition(".")[2]
        receives[number] = verb in _RECEIVES or name == "os.read"
        sends[number] = verb in _SENDS or name == "os.write"
    return receives[which], sends[which]


def replies(receiving: Bool, sending: Bool) -> Bool:
    """Which receives, as bool [phases], are the first after a send: they get the answer to it."""
    index = np.arange(len(receiving))
    sent = np.maximum.accumulate(np.where(sending, index, -1))
    received = np.maximum.accumulate(np.where(receiving, index, -1))
    before = np.concatenate(([-1], received[:-1]))
    first: Bool = receiving & (sent >= 0) & (sent > before)
    return first


def with_replies(
    work: Work,
    phases: Phases,
    directions: tuple[Bool, Bool],
    window: tuple[int, int],
    think_ns: int | None,
) -> tuple[Work, bool]:
    """A thread's work with the outside world in it, and whether that could not be seen.

    A receive that really waited tells how long after the send the reply came. One that found its
    data there tells only that it came sooner than that; it gets the time of another that waited.
    """
    receiving, sending = directions
    some = np.flatnonzero((phases.end > window[0]) & (phases.ask < window[1]))
    index = np.arange(len(sending))
    sent = np.maximum.accumulate(np.where(sending, index, -1))
    answers = replies(receiving, sending) & (sent >= some[0])
    since_sent = phases.end - phases.end[np.maximum(sent, 0)]
    waited = answers & (phases.off > SHORT_NS)
    found = np.flatnonzero(answers & ~waited)
    think, bound = np.full(len(index), -1, np.int64), np.full(len(index), -1, np.int64)
    late = np.zeros(len(index), np.int64)
    if think_ns is not None:
        think[answers] = think_ns
    else:
        think[waited] = (since_sent + phases.off)[waited]
        late[waited] = _late(think[waited])
        think[waited] -= late[waited]
        think[found], bound[found] = _unseen(np.sort(think[waited]), since_sent[found])
    unseen = np.count_nonzero(bound[some] > SHORT_NS)
    off = phases.off.copy()
    off[waited] = np.minimum(off[waited], _instant(off[found]))
    return replace(
        work,
        off=off[some].tolist(),
        sends=sending[some].tolist(),
        think=think[some].tolist(),
        bound=bound[some].tolist(),
        late=late[some].tolist() if late[some].any() else [],
    ), bool(unseen * 2 > np.count_nonzero(answers[some]))


def _late(think: I8) -> I8:
    """By how much replies came later than usual because the machine had somebody wait.

    Where most take about the same time, those that took some turns of the kernel longer were not
    thought about for longer: a client or an I/O thread was woken late. Who computes all the time
    beside it is why, and under other rules that need not happen again.
    """
    if len(think) < _LEAST:
        return np.zeros(len(think), np.int64)
    low, usual, high = (int(ns) for ns in np.percentile(think, [25, 50, 75]))
    outlier = (think > high + _FENCE * (high - low)) & (think < usual + _TURNS_NS)
    return np.where(outlier, think - usual, 0)


def _unseen(known: I8, most: I8) -> tuple[I8, I8]:
    """How long replies took that were there before anyone looked: a guess, and its bound or -1.

    Args:
        known: how long others took, ascending.
        most: how long each of these can have taken.
    """
    possible = np.searchsorted(known, most, side="right")
    if not len(known):
        return np.zeros(len(most), np.int64), most
    # The median: with few that were seen to wait, one client that overslept must not count for all.
    guess = known[np.maximum(possible - 1, 0) // 2]
    return np.where(possible > 0, guess, 0), np.where(possible > 0, -1, most)


def _instant(off: I8) -> int:
    """How long a receive takes that finds its data there."""
    return int(np.median(off)) if len(off) else USUAL_WAKE_NS
