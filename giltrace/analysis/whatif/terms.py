"""The terms of a what-if: what threads want, the rules they are under, and how they fare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final

SHORT_NS: Final = 100_000
"""A stretch off the GIL that is no longer may end before a thread that was woken gets the GIL; and
a receive that is no longer found its data there. Waking a thread takes between 3 and 100 µs."""

USUAL_WAKE_NS: Final = 10_000
"""What waking a thread takes where the recording does not tell; likewise the others."""

USUAL_CHECK_NS: Final = 5_000
USUAL_TIMER_NS: Final = 60_000

_NONE: Final[Mapping[int, int]] = MappingProxyType({})


class Race(IntEnum):
    """How the race for the GIL went, in which a thread let go of it and somebody was at hand."""

    NONE = 0
    """Nobody was at hand."""
    WON = 1
    """The thread came back before anyone else had taken the GIL."""
    LOST = 2
    """Somebody else took it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one thread does from phase to phase; all lists have one entry for each.

    Attributes:
        thread: index into ``trace.threads``.
        start: when it first asks for the GIL, in ns from the beginning of the window.
        demand: for how long it holds the GIL, until it lets go by itself; ns.
        off: for how long it is off the GIL then; ns.
        race: how the race at this release went in the recording, a `Race`.
        latency: when it was lost: after how many ns the GIL was taken.
        sends: it sends something in this stretch, to which the outside world may reply.
        think: after how many ns from the last send the reply comes; -1: ``off`` is its own time.
        bound: when the reply was there before anyone looked, so that ``think`` is a guess: what
            it cannot have exceeded; else -1.
        late: by how much the reply came later than ``think``, which is what is usual, because the
            machine had somebody wait; played as recorded, or with bad luck; empty if it never did.
        endless: its last phase went on when the window ended; played, it has no end.
        cycles: how many times it comes around, if it does the same again and again; else 0.
    """

    thread: int
    start: int
    demand: list[int]
    off: list[int]
    race: list[int]
    latency: list[int]
    sends: list[bool]
    think: list[int]
    bound: list[int]
    endless: bool = False
    cycles: int = 0
    late: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timings:
    """What the machine adds, as medians over the recording, in ns.

    Attributes:
        handoff_ns: from a forced release to the next acquire.
        wake_ns: from a release that a thread made by itself to the acquire of one who waited.
        timer_ns: by how much a waiter oversleeps its switch interval.
        check_ns: from a drop request to the forced release, by thread.
        return_ns: from the acquire that follows a thread's forced release until it asks again, by
            thread.
    """

    handoff_ns: int = USUAL_WAKE_NS
    wake_ns: int = USUAL_WAKE_NS
    timer_ns: int = USUAL_TIMER_NS
    check_ns: dict[int, int] = field(default_factory=dict)
    return_ns: dict[int, int] = field(default_factory=dict)

    def check_of(self, thread: int) -> int:
        """After how long a thread heeds a drop request."""
        return self.check_ns.get(thread, USUAL_CHECK_NS)

    def return_of(self, thread: int) -> int:
        """After how long a thread that was forced out asks again."""
        return self.return_ns.get(thread, self.handoff_ns)


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that is wanted from one GIL in a window of time.

    Attributes:
        gil: index into ``trace.gils``.
        interval_ns: the switch interval it was recorded with.
        start_ns: of the window; likewise ``end_ns``.
        works: of the threads that want the GIL in it; who has the GIL at its start comes first.
        timings: what the machine adds.
        victim: the thread whose waits are looked at; -1 for none.
        hogs: the threads that do not let go by themselves within a switch interval, or else the
            one that holds most.
        notes: what whoever reads a prediction has to be told, in sentences.
        unseen: how long the outside world takes to answer the victim cannot be seen: it is played
            as if that took no time.
    """

    gil: int
    interval_ns: int
    start_ns: int
    end_ns: int
    works: tuple[Work, ...]
    timings: Timings
    victim: int = -1
    hogs: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    unseen: bool = False

    @property
    def cycles(self) -> int:
        """How many times the victim comes around; at least 1."""
        return max([1, *(work.cycles for work in self.works if work.thread == self.victim)])


class Luck(IntEnum):
    """How races for the GIL go that somebody is at hand for, and what replies took that unseen."""

    RECORDED = 0
    """As in the recording, and where it does not tell, as the usual latencies have it."""
    GOOD = 1
    """A thread that is off the GIL for a moment always gets it back; replies are there at once."""
    BAD = 2
    """It never does; replies took as long as the recording allows, or came late as they did."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for one GIL.

    Attributes:
        name: what a table calls it.
        switch_interval_ns: None for the recorded one.
        priorities: of threads by index; higher is more urgent, 0 is that of all others. A waiter
            that is more urgent than the holder asks for the GIL at once.
        elsewhere: threads whose work is done in another process.
        gil: False to let all threads run in parallel.
    """

    name: str
    switch_interval_ns: int | None = None
    priorities: Mapping[int, int] = field(default_factory=lambda: _NONE)
    elsewhere: frozenset[int] = frozenset()
    gil: bool = True

    @property
    def as_recorded(self) -> bool:
        """It changes nothing."""
        changed = self.priorities or self.elsewhere or not self.gil
        return self.switch_interval_ns is None and not changed


@dataclass(frozen=True, slots=True)
class ThreadOutcome:
    """How one thread fared.

    Attributes:
        thread: index into ``trace.threads``.
        hold_ns: for how long it had what it wants from the GIL.
        phases: how many phases it came to the end of.
        waits: its contended acquires.
        wait_ns: how long these were together.
        wait_mean_ns: how long they were on average; 0 without any.
        wait_p99_ns: 99 in 100 took no longer.
        wall_ns: how long it was watched: until its own end, or that of the simulation.
        progress: ``hold_ns`` per ``wall_ns``, 0 to 1.
        lost: the share of ``wall_ns`` in which it waited, 0 to 1.
    """

    thread: int
    hold_ns: int
    phases: int
    waits: int
    wait_ns: int
    wait_mean_ns: int
    wait_p99_ns: int
    wall_ns: int
    progress: float
    lost: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How all threads fared, in the order of the workload.

    Attributes:
        wall_ns: how long it took until the victim was done, or without one, everyone.
        threads: those of the workload.
        holds: who held the GIL from when to when, as ``(thread, start, end)`` in order, in ns
            from the beginning; only if asked for.
    """

    wall_ns: int
    threads: tuple[ThreadOutcome, ...]
    holds: tuple[tuple[int, int, int], ...] = ()

    def of(self, thread: int) -> ThreadOutcome:
        """How a thread fared.

        Raises:
            KeyError: it is not in the workload.
        """
        for outcome in self.threads:
            if outcome.thread == thread:
                return outcome
        raise KeyError(thread)
