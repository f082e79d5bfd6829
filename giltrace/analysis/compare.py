"""Two recordings of one program, before and after a change: what is comparable, side by side.

They need not be of one length, nor of one workload. So threads are matched by name, times are taken
per second, and what a thread does again and again is compared iteration by iteration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from giltrace.analysis.findings.cycles import begun
from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.analysis.findings.registry import find_all
from giltrace.analysis.findings.scene import Scene
from giltrace.analysis.summary import Summary, percentile, summarise
from giltrace.model.trace import Trace

CHANGED: Final = 0.1
"""A difference smaller than this share may be chance."""
_FEW: Final = 3


class Status(Enum):
    """What became of a finding."""

    GONE = "gone"
    NEW = "new"
    LESS = "less"
    MORE = "more"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Rates:
    """What all threads of one name did, together; times are per second of the recording.

    Attributes:
        threads: how many there were.
        wall_ns: the length of the recording.
        hold_ns: for how long they held a GIL.
        wait_ns: for how long they waited for one.
        acquires: how often they acquired it.
        waits: how often they waited.
        stalls: how many of these waits are convoy stalls.
        wait_p99_ns: 99 in 100 of the waits took no longer; 0 without any.
        wait_max_ns: the longest.
        inferred: waits were not seen.
    """

    threads: int
    wall_ns: int
    hold_ns: int
    wait_ns: int
    acquires: int
    waits: int
    stalls: int
    wait_p99_ns: int
    wait_max_ns: int
    inferred: bool

    def share(self, ns: int) -> float:
        """``ns`` per time of the recording."""
        return ns / self.wall_ns if self.wall_ns > 0 else 0.0

    def per_second(self, number: int) -> float:
        """``number`` per second of the recording."""
        return number * 1e9 / self.wall_ns if self.wall_ns > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """What a thread does again and again, once, as means.

    Attributes:
        iterations: how many there were.
        ns: how long one took.
        hold_ns: for how long it held the GIL in one.
        wait_ns: for how long it waited for it.
        waits: how many times.
    """

    iterations: int
    ns: int
    hold_ns: int
    wait_ns: int
    waits: float


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """All threads of one name, before and after; None where there are none."""

    name: str
    before: Rates | None
    after: Rates | None


@dataclass(frozen=True, slots=True)
class RoundChange:
    """One iteration of a thread, before and after.

    Attributes:
        name: of the thread.
        call: the call that it begins with.
        where: base name of the file and qualified name of the function in which that is made.
        before: None where it cannot be found; likewise ``after``.
        after: see ``before``.
    """

    name: str
    call: str
    where: tuple[str, str]
    before: Round | None
    after: Round | None


@dataclass(frozen=True, slots=True)
class FindingChange:
    """What became of a finding; None where it was not made.

    Attributes:
        status: the change.
        before: the finding, before; likewise ``after``.
        after: see ``before``.
        before_share: which share of the recording its waits take, all together; likewise
            ``after_share``.
        after_share: see ``before_share``.
    """

    status: Status
    before: Finding | None
    after: Finding | None
    before_share: float
    after_share: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two recordings side by side.

    Attributes:
        threads: by name; those that held or waited most come first.
        rounds: what threads that lost time do again and again.
        findings: what lost most time comes first; good news is left out.
    """

    threads: tuple[ThreadChange, ...]
    rounds: tuple[RoundChange, ...]
    findings: tuple[FindingChange, ...]


class Side:
    """One of the two recordings.

    Attributes:
        trace: what was recorded.
        findings: about it.
        summary: its numbers.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.findings = find_all(trace)
        self.summary: Summary = summarise(trace)
        self.by_name: defaultdict[str, list[int]] = defaultdict(list)
        for thread in trace.threads:
            one = self.summary.threads[thread.index]
            if one.acquires or one.waits:
                self.by_name[thread.name].append(thread.index)

    @property
    def wall_ns(self) -> int:
        """The length of the recording."""
        return self.trace.end_ns - self.trace.start_ns

    def rates(self) -> dict[str, Rates]:
        """What the threads of each name did."""
        trace, rows = self.trace, self.summary.threads
        stalls = self._stalls()
        group = np.full(len(trace.threads), -1, np.int64)
        for number, threads in enumerate(self.by_name.values()):
            group[threads] = number
        waits = trace.waits
        order = np.lexsort((waits.ns, group[waits.thread]))
        lengths = waits.ns[order]
        ends = np.bincount(group[waits.thread], minlength=len(self.by_name)).cumsum().tolist()
        found = {}
        for number, (name, threads) in enumerate(self.by_name.items()):
            mine = lengths[ends[number - 1] if number else 0 : ends[number]]
            processes = {trace.threads[thread].process for thread in threads}
            found[name] = Rates(
                threads=len(threads),
                wall_ns=self.wall_ns,
                hold_ns=sum(rows[thread].hold_ns for thread in threads),
                wait_ns=sum(rows[thread].wait_ns for thread in threads),
                acquires=sum(rows[thread].acquires for thread in threads),
                waits=len(mine),
                stalls=sum(stalls[thread] for thread in threads),
                wait_p99_ns=percentile(mine, 99) if len(mine) else 0,
                wait_max_ns=int(mine[-1]) if len(mine) else 0,
                inferred=any(trace.processes[process].inferred for process in processes),
            )
        return found

    def anchors(self) -> Iterator[tuple[str, str, tuple[str, str]]]:
        """What iterations of victims begin with: the thread's name, the call, and where it is."""
        for finding in self.findings:
            for victim in finding.victims:
                if victim.cycle is not None:
                    place = self.trace.places[victim.cycle.place]
                    name = self.trace.threads[victim.thread].name
                    yield name, victim.cycle.call, (place.basename, place.qualname)

    def round(self, name: str, call: str, where: tuple[str, str]) -> Round | None:
        """One iteration of the threads of a name, if it begins with that call."""
        trace = self.trace
        iterations = ns = hold_ns = wait_ns = waits = 0
        for thread in self.by_name.get(name, []):
            for gil in trace.gils:
                if gil.process != trace.threads[thread].process:
                    continue
                scene = Scene(trace, gil)
                begins = begun(scene, thread, call, where)
                if len(begins) <= _FEW:
                    continue
                start, end = scene.hold_end[begins[[0, -1]]].tolist()
                iterations += len(begins) - 1
                ns += end - start
                mine = (scene.holder == thread) & (scene.hold_end > start) & (scene.hold_end <= end)
                hold_ns += int((scene.hold_end - scene.hold_start)[mine].sum())
                own = (scene.waiter == thread) & (scene.wait_start >= start)
                own &= scene.wait_start < end
                wait_ns += int(scene.wait_ns[own].sum())
                waits += int(np.count_nonzero(own))
        if not iterations:
            return None
        return Round(
            iterations, ns // iterations, hold_ns // iterations, wait_ns // iterations,
            waits / iterations,
        )  # fmt: skip

    def share(self, finding: Finding) -> float:
        """Which share of the GIL's time the waits of a finding take."""
        wall_ns = max(1, self.trace.gils[finding.gil].wall_ns)
        return (finding.lost_ns + finding.shared_ns) / wall_ns

    def key(self, finding: Finding) -> tuple[Kind, str]:
        """What makes a finding the same in another recording: its kind and its first victim."""
        victims = finding.victims
        return finding.kind, self.trace.threads[victims[0].thread].name if victims else ""

    def _stalls(self) -> defaultdict[int, int]:
        """Convoy stalls of each thread."""
        found: defaultdict[int, int] = defaultdict(int)
        for finding in self.findings:
            if finding.kind is Kind.CONVOY:
                for victim in finding.victims:
                    found[victim.thread] += victim.waits
        return found


def compare(before: Trace, after: Trace) -> Comparison:
    """Put two recordings side by side."""
    return compare_sides(Side(before), Side(after))


def compare_sides(before: Side, after: Side) -> Comparison:
    """The same, of recordings that have been looked at."""
    return Comparison(
        threads=tuple(_threads(before.rates(), after.rates())),
        rounds=tuple(_rounds(before, after)),
        findings=tuple(_findings(before, after)),
    )


def _threads(before: dict[str, Rates], after: dict[str, Rates]) -> list[ThreadChange]:
    found = [
        ThreadChange(name, before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
    ]

    def weight(change: ThreadChange) -> float:
        sides = (side for side in (change.before, change.after) if side is not None)
        return -max(side.share(side.hold_ns + side.wait_ns) for side in sides)

    return sorted(found, key=weight)


def _rounds(before: Side, after: Side) -> Iterator[RoundChange]:
    for name, call, where in dict.fromkeys((*before.anchors(), *after.anchors())):
        pair = before.round(name, call, where), after.round(name, call, where)
        if any(pair):
            yield RoundChange(name, call, where, *pair)


def _findings(before: Side, after: Side) -> list[FindingChange]:
    """Pairs of findings of one kind about one victim, what lost most on either side first."""
    old, new = _by_key(before), _by_key(after)
    found = []
    for key in dict.fromkeys((*old, *new)):
        firsts, seconds = old.get(key, []), new.get(key, [])
        for number in range(max(len(firsts), len(seconds))):
            first = firsts[number] if number < len(firsts) else None
            second = seconds[number] if number < len(seconds) else None
            shares = (
                before.share(first) if first else 0.0,
                after.share(second) if second else 0.0,
            )
            found.append(FindingChange(_status(first, second, shares), first, second, *shares))
    return sorted(found, key=lambda change: -max(change.before_share, change.after_share))


def _by_key(side: Side) -> dict[tuple[Kind, str], Sequence[Finding]]:
    found: defaultdict[tuple[Kind, str], list[Finding]] = defaultdict(list)
    for finding in side.findings:
        if finding.kind is not Kind.HEALTHY:
            found[side.key(finding)].append(finding)
    return dict(found)


def _status(before: Finding | None, after: Finding | None, shares: tuple[float, float]) -> Status:
    if before is None:
        return Status.NEW
    if after is None:
        return Status.GONE
    low, high = sorted(shares)
    if high - low < CHANGED * high:
        return Status.SAME
    return Status.LESS if shares[1] < shares[0] else Status.MORE
