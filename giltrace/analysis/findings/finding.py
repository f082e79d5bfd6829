"""What a finding is: who lost how much time at one GIL, to whom, and why that is believed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from giltrace.analysis.calls import Source


class Kind(Enum):
    """What is the matter; docs/explanation/findings.md tells how each is decided."""

    LONG_HOLD = "long hold"
    """C code keeps the GIL long after it was asked for."""
    HELD_IDLE = "held idle"
    """The GIL is held by a thread that does not run."""
    INVERSION = "priority inversion"
    """An urgent thread waits for a less urgent one."""
    STARVATION = "starvation"
    """A thread waits far longer than its turn should take."""
    CONVOY = "convoy"
    """Short voluntary releases that each cost about a switch interval to get back."""
    EQUALS = "contention of equals"
    """Threads that compute take turns: each waits for the others as they do for it."""
    PING_PONG = "ping-pong"
    """Two threads wake each other up through a lock or a queue, in turns."""
    CONTENDED = "contended"
    """Waits of which nothing of the above is true."""
    NEEDLESS = "needless releases"
    """Calls that would not have blocked let the GIL go, and getting it back was dear."""
    HEALTHY = "healthy"
    """Nothing of the above."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """What a thread does again and again: an iteration, a request.

    Attributes:
        call: the blocking call each iteration begins with: ``socket.recv``.
        place: where it is made; number of a place.
        iterations: how many there were.
        waits: waits of the finding between the first and the last of them.
        lost_ns: the length of these waits.
    """

    call: str
    place: int
    iterations: int
    waits: int
    lost_ns: int

    @property
    def waits_per_iteration(self) -> float:
        """Stalls per request, if the finding is a convoy."""
        return self.waits / self.iterations


@dataclass(frozen=True, slots=True)
class Victim:
    """A thread that lost time.

    Attributes:
        thread: index into ``trace.threads``.
        waits: how many of its waits are evidence for the finding.
        lost_ns: their length together.
        max_ns: the longest.
        acquires: how often it acquired this GIL at all.
        cycle: what it does again and again, if that can be told. Only looked for in convoys.
    """

    thread: int
    waits: int
    lost_ns: int
    max_ns: int
    acquires: int
    cycle: Cycle | None = None


@dataclass(frozen=True, slots=True)
class HogPlace:
    """In which line a hog let go in the end.

    Attributes:
        place: number of a place, 0 for unknown; of those in the line, that which cost most.
        call: in which C call; number of a call, 0 for none and unknown.
        holds: how many holds that ended here were in the way.
        lost_ns: how much of the waits fell on them.
    """

    place: int
    call: int
    holds: int
    lost_ns: int


@dataclass(frozen=True, slots=True)
class Hog:
    """A thread that held the GIL while the victims waited.

    Attributes:
        thread: index into ``trace.threads``.
        holds: how many of its holds were in the way.
        lost_ns: how much of the waits fell on them.
        hold_ns: the length of these holds together.
        not_running_ns: for how long of them the thread did not run; None where no reading of its
            CPU clock tells. Of a long hold: close to ``hold_ns`` it was blocked, or kept from its
            core; close to 0 it computed.
        preempted_ns: for how long of that it could have run, and the kernel gave it no CPU; None
            where scheduling is not on record.
        places: the lines in which they ended, most time first, a few at most.
    """

    thread: int
    holds: int
    lost_ns: int
    hold_ns: int
    not_running_ns: int | None
    preempted_ns: int | None
    places: tuple[HogPlace, ...]


@dataclass(frozen=True, slots=True)
class LetGo:
    """A call in which a victim let go of the GIL before it had to wait.

    Attributes:
        thread: the victim.
        call: what the call is called: ``socket.recv``; ``""`` if nothing names it.
        source: how it got that name.
        place: where it is made, most often.
        waits: how many waits of the finding began at its end.
        off_ns: for how long the thread was off the GIL before them, together.
        lost_ns: the length of these waits together.
    """

    thread: int
    call: str
    source: Source
    place: int
    waits: int
    off_ns: int
    lost_ns: int


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a finding is believed, in numbers.

    Attributes:
        cases: how many waits, or alternations, say so.
        fitting_ns: the part of their time that the explanation accounts for; what that is depends
            on the kind of the finding.
        of_ns: all of their time.
        recorded: share of the process's events that are on record, 0 to 1.
    """

    cases: int
    fitting_ns: int
    of_ns: int
    recorded: float

    @property
    def confidence(self) -> float:
        """0 to 1: the share that fits, less for few cases and for what is not on record."""
        if self.of_ns <= 0 or self.cases <= 0:
            return 0.0
        fit = min(1.0, max(0.0, self.fitting_ns / self.of_ns))
        return fit * self.cases / (self.cases + 1) * self.recorded


@dataclass(frozen=True, slots=True)
class Alternation:
    """How two threads alternate.

    Attributes:
        times: hand-offs from one to the other that were at once followed by one back.
        busy_ns: the time from each of their holds to the next, together.
        latency_ns: for how long of it nobody held the GIL.
    """

    times: int
    busy_ns: int
    latency_ns: int

    @property
    def per_second(self) -> float:
        """How often, while they were at it."""
        return self.times * 1e9 / self.busy_ns if self.busy_ns else 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """Why nothing is the matter with a GIL.

    Attributes:
        utilisation: held/wall, 0 to 1.
        contention: time with at least one waiter/wall, 0 to 1.
        acquires: holds.
        waits: contended acquires.
        wait_ns: their length together.
        longest_wait_ns: of one.
        stalls: waits that would be convoy stalls if there were more of them.
    """

    utilisation: float
    contention: float
    acquires: int
    waits: int
    wait_ns: int
    longest_wait_ns: int
    stalls: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is the matter with one GIL, or that nothing is.

    A wait is counted in ``lost_ns`` of one finding at most. ``shared_ns`` is the time of waits
    that are evidence for this finding, too, but are counted in another one.

    Attributes:
        kind: what it is.
        gil: index into ``trace.gils``.
        victims: threads that lost time, most of it first, a bounded number.
        hogs: threads that held the GIL meanwhile, likewise.
        calls: in which the victims had let go, likewise.
        threads: how many threads lost time in all.
        waits: how many waits are evidence.
        lost_ns: the time of those that no finding before this one counts.
        shared_ns: the time of the others.
        max_ns: the longest wait.
        interval_ns: the part of ``lost_ns + shared_ns`` for which the waiters had to let a switch
            interval run out: it shrinks and grows with the interval.
        overdue_ns: the part between a drop request and the release it asked for.
        switch_interval_ns: of the GIL, when its record ended.
        start_ns: when the first of the waits began.
        end_ns: when the last one ended.
        evidence: some of the waits, indices into ``trace.waits``, the longest first.
        grounds: why it is believed, and how much.
        alternation: of a ping-pong.
        health: if there is nothing the matter.
    """

    kind: Kind
    gil: int
    victims: tuple[Victim, ...]
    hogs: tuple[Hog, ...]
    calls: tuple[LetGo, ...]
    threads: int
    waits: int
    lost_ns: int
    shared_ns: int
    max_ns: int
    interval_ns: int
    overdue_ns: int
    switch_interval_ns: int
    start_ns: int
    end_ns: int
    evidence: tuple[int, ...]
    grounds: Grounds
    alternation: Alternation | None = None
    health: Health | None = None

    @property
    def confidence(self) -> float:
        """How sure it is, 0 to 1; ``grounds`` are the reason."""
        return self.grounds.confidence

    @property
    def mean_ns(self) -> float:
        """Of its waits; 0 without any."""
        return (self.lost_ns + self.shared_ns) / self.waits if self.waits else 0.0
