"""What a recording has besides the GIL's own events, put on top of a schedule.

CPU clocks that a true account is kept of, calls with their descriptors, and calls of functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from giltrace.capture.events import (
    CALL_SHIFT,
    KIND_MASK,
    PAYLOAD_MASK,
    PAYLOAD_SHIFT,
    Kind,
    pack_data,
    pack_span,
)
from tests.support.recording import ProcessRecording, Spot

CALLS = ("_socket.socket.recv", "time.sleep", "_thread.lock.acquire", "zlib.compress", "x.y")
SHARES = (0, 1, 2, 4)
"""Quarters of the time that a thread may run."""


@dataclass
class Truth:
    """What threads of one process really did.

    Attributes:
        held: for each hold (thread, start, end) the CPU time in it.
        off: for each stretch off the GIL (thread, start, end) the CPU time in it.
    """

    held: dict[tuple[int, int, int], int] = field(default_factory=dict)
    off: dict[tuple[int, int, int], int] = field(default_factory=dict)


def add_clocks(
    process: ProcessRecording,
    numbers: Sequence[int],
    *,
    spacing_ns: int = 200_000,
    start_ns: int = 0,
) -> Truth:
    """Let each thread use CPU time, and read its clock as the recorder does.

    Args:
        process: its events are in the order of time, and say nothing about CPU time yet.
        numbers: each says how much of a piece of its time a thread runs.
        spacing_ns: how old the last reading of a clock is at least when it is read again.
        start_ns: what all clocks show at first.
    """
    truth, shares = Truth(), cycle(numbers or [0])
    events: list[tuple[int, int, int]] = []
    clock: dict[int, int] = {}
    since: dict[int, tuple[int, int]] = {}
    read: dict[int, int] = {}
    for thread, ts, word in process.events:
        events.append((thread, ts, word))
        kind = word & KIND_MASK
        if kind == Kind.DROP_REQUEST:
            continue
        clock.setdefault(thread, start_ns)
        before, began = since.get(thread, (Kind.LOST, ts))
        used = 0
        if before in (Kind.ACQUIRE, Kind.RELEASE):
            used = (ts - began) * SHARES[next(shares) % len(SHARES)] // 4
            (truth.held if before == Kind.ACQUIRE else truth.off)[thread, began, ts] = used
        clock[thread] += used
        since[thread] = kind, ts
        if kind != Kind.WAIT and ts - read.get(thread, ts - spacing_ns) >= spacing_ns:
            read[thread] = ts
            events.append((thread, ts, pack_data(Kind.CPU, clock[thread] & PAYLOAD_MASK)))
    process.events = events
    return truth


def add_calls(process: ProcessRecording, numbers: Sequence[int]) -> None:
    """Put calls into releases, descriptors behind some, and function calls anywhere."""
    events: list[tuple[int, int, int]] = []
    choices = cycle(numbers or [0])
    opened: dict[int, list[tuple[int, int]]] = {}
    for thread, ts, word in process.events:
        choice = next(choices)
        stack = opened.setdefault(thread, [])
        if word & KIND_MASK == Kind.RELEASE:
            if choice % 3 == 0:
                call = process.call(CALLS[choice // 3 % len(CALLS)])
                events.append((thread, ts, word | call << PAYLOAD_SHIFT + CALL_SHIFT))
            else:
                events.append((thread, ts, word))
            if choice % 4 == 0:
                events.append((thread, 0, pack_data(Kind.DETAIL, choice % 9)))
        else:
            events.append((thread, ts, word))
        if word & KIND_MASK == Kind.CPU:
            continue
        if choice % 5 < 2:
            stack.append((ts, _function(process, choice)))
        elif choice % 5 < 4 and stack:
            depth = len(stack)
            start, code = stack.pop()
            payload = pack_span(code, depth)
            events.append((thread, start, pack_data(Kind.SPAN, payload)))
            events.append((thread, ts, pack_data(Kind.SPAN_END, payload)))
    process.events = events


def _function(process: ProcessRecording, choice: int) -> int:
    """The code id of one of a few functions, or 0."""
    if choice % 7 == 0:
        return 0
    return process.word(Spot("app.py", 1 + choice % 3, f"f{choice % 3}")) & 0xFFFF
