"""Legal GIL schedules from arbitrary numbers, with all that a trace of them must show.

Each number picks one of the things that can happen next, so every list of numbers is a schedule:
hypothesis can make them, and make a failing one small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from giltrace.model.tables import Cause
from tests.support.recording import ProcessRecording, Recording, Spot

SPOTS = [Spot("server.py", 10 + i, "handle", 4 * i, 4 * i + 9) for i in range(3)] + [
    Spot("spin.py", 3, "spin")
]


class Hold(NamedTuple):
    """A hold as it should be shown; ``place`` is its text."""

    gil: int
    thread: int
    start: int
    end: int
    tenure: int
    place: str
    cause: Cause


class Wait(NamedTuple):
    """A wait as it should be shown; ``tenure`` is that of the hold it led to, or None."""

    gil: int
    thread: int
    start: int
    end: int
    tenure: int | None
    requests: int


@dataclass
class Gil:
    """The state of one GIL while its schedule is made up."""

    tenure: int = 0
    holder: int | None = None
    since: int = 0
    synthetic: bool = False
    requested: bool = False
    waiters: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Schedule:
    """What happened in one process, and what a trace must show of it.

    Attributes:
        process: the recording, with the events in time order.
        holds: all holds, in the order in which they ended.
        waits: all waits, in the order in which they ended.
        handoffs: how many there were.
    """

    process: ProcessRecording
    holds: list[Hold] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    handoffs: int = 0


def schedule(
    recording: Recording, choices: Sequence[int], *, threads: int, gils: int, start: str = "free"
) -> Schedule:
    """One more process in ``recording``.

    Args:
        recording: where the process is added.
        choices: any numbers from 0 on; each is one event, and the time before it.
        threads: how many threads there are.
        gils: how many GILs.
        start: who holds GIL 0 at first: nobody (``free``), or thread 0 with a synthetic acquire
            (``synthetic``) or none on record (``unseen``).
    """
    process = recording.process(pid=100 + len(recording.processes))
    for i in range(threads):
        process.thread(f"thread-{i}")
    return _Simulation(Schedule(process), threads, gils, start).run(choices)


class _Simulation:
    def __init__(self, made: Schedule, threads: int, gils: int, start: str) -> None:
        self._made = made
        self._now = 0
        self._threads = threads
        self._gils = [Gil() for _ in range(gils)]
        self._last: dict[int, int] = {}
        if start != "free":
            self._gils[0].holder = 0
            self._gils[0].synthetic = start == "synthetic"
            if start == "synthetic":
                self._gils[0].tenure = 1
                made.process.acquire(0, 0, 1, synthetic=True)

    def run(self, choices: Sequence[int]) -> Schedule:
        for choice in choices:
            self._now += choice // 64 % 7 * (1 if choice % 3 else 1_000_003)
            actions = [(act, gil, thread) for act, gil, thread in self._actions()]
            act, gil, thread = actions[choice % len(actions)]
            getattr(self, act)(gil, thread, choice)
        self._finish(choices[-1] if choices else 0)
        return self._made

    def _actions(self) -> list[tuple[str, int, int]]:
        """Everything that can happen next."""
        busy = {gil.holder for gil in self._gils} | {t for gil in self._gils for t in gil.waiters}
        idle = [t for t in range(self._threads) if t not in busy]
        actions = []
        for number, gil in enumerate(self._gils):
            if gil.holder is None:
                actions += [("_acquire", number, t) for t in [*idle, *gil.waiters]]
            else:
                actions.append(("_release", number, gil.holder))
                actions += [("_wait", number, t) for t in idle]
                actions += [("_request", number, t) for t in gil.waiters]
        return actions or [("_nothing", 0, 0)]

    def _nothing(self, number: int, thread: int, choice: int) -> None:
        pass

    def _acquire(self, number: int, thread: int, choice: int) -> None:
        gil = self._gils[number]
        gil.tenure += 1
        gil.holder, gil.since, gil.requested = thread, self._now, False
        if self._last.get(number, thread) != thread:
            self._made.handoffs += 1
        self._made.process.acquire(thread, self._now, gil.tenure, gil=number)
        if thread in gil.waiters:
            start, requests = gil.waiters.pop(thread)
            wait = Wait(number, thread, start, self._now, gil.tenure, requests)
            self._made.waits.append(wait)

    def _release(self, number: int, thread: int, choice: int) -> None:
        gil = self._gils[number]
        spot = SPOTS[choice // 5 % len(SPOTS)]
        check = choice // 11 % 2 == 0
        self._made.process.release(thread, self._now, spot, gil=number, check=check)
        cause = Cause.VOLUNTARY
        if gil.requested:
            cause = Cause.FORCED if check else Cause.UNKNOWN
        self._end(number, spot, cause)
        self._last[number] = thread

    def _end(self, number: int, spot: Spot | None, cause: Cause) -> None:
        gil = self._gils[number]
        assert gil.holder is not None
        name = f"{spot.filename}:{spot.line} in {spot.qualname}" if spot else "unknown"
        hold = Hold(number, gil.holder, gil.since, self._now, gil.tenure, name, cause)
        self._made.holds.append(hold)
        gil.holder = None

    def _wait(self, number: int, thread: int, choice: int) -> None:
        gil = self._gils[number]
        gil.waiters[thread] = (self._now, 0)
        self._made.process.wait(thread, self._now, gil.tenure, gil=number)

    def _request(self, number: int, thread: int, choice: int) -> None:
        self._now += 1  # no thread asks twice at once: an interval lies between
        gil = self._gils[number]
        start, requests = gil.waiters[thread]
        gil.waiters[thread] = (start, requests + 1)
        gil.requested = True
        self._made.process.request(thread, self._now, gil.tenure, gil=number)

    def _finish(self, choice: int) -> None:
        """The end of the recording: some GILs are still held, and some threads still wait."""
        self._now += choice % 5
        self._made.process.end_ns = self._now
        for number, gil in enumerate(self._gils):
            # A holder that was never seen to acquire is seen now, or there was no hold on record.
            if gil.holder is not None and (not gil.tenure or (choice + number) % 2):
                spot = SPOTS[0]
                self._made.process.release(gil.holder, self._now, spot, gil=number, synthetic=True)
                self._end(number, spot, Cause.NONE)
            elif gil.holder is not None:
                self._end(number, None, Cause.NONE)
            for thread, (start, requests) in gil.waiters.items():
                self._made.waits.append(Wait(number, thread, start, self._now, None, requests))
