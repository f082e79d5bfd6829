"""Phrases that all stories are made of: names, places, times of one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from giltrace.analysis.calls import Source
from giltrace.analysis.findings.finding import Finding, Hog, LetGo
from giltrace.analysis.whatif.terms import Policy
from giltrace.model.dense import distinct
from giltrace.model.text import printable
from giltrace.wording.human import count, duration, share, times
from giltrace.wording.labels import Labels
from giltrace.wording.opening import at_place
from giltrace.wording.results import Results

_NAMED: Final = 2
_CALLS: Final = 3
_CALL_LIMIT: Final = 40
_CHIEF: Final = 0.9
"""One thread with this share of the time stands for all of them."""


class Phrases:
    """What there is to say about one finding, in pieces."""

    def __init__(self, results: Results, finding: Finding) -> None:
        self.finding = finding
        self.labels: Labels = results.labels
        self._results = results
        trace = results.trace
        self._start_ns = trace.start_ns
        self.wall_ns = max(1, trace.gils[finding.gil].wall_ns)

    @property
    def total_ns(self) -> int:
        """All waits that are evidence."""
        return self.finding.lost_ns + self.finding.shared_ns

    @property
    def alone(self) -> bool:
        """The first victim stands for all."""
        victims = self.finding.victims
        return len(victims) == 1 or (bool(victims) and victims[0].lost_ns >= _CHIEF * self.total_ns)

    @property
    def victims(self) -> str:
        """Who lost time."""
        if self.alone:
            return self.thread(self.finding.victims[0].thread)
        return self.threads([v.thread for v in self.finding.victims], self.finding.threads)

    @property
    def hogs(self) -> str:
        """Who was in the way."""
        hogs = self.finding.hogs
        if not hogs:
            return "nobody"
        if self.one_hog:
            return self.thread(hogs[0].thread)
        victims = {victim.thread for victim in self.finding.victims}
        if {hog.thread for hog in hogs} == victims:
            return "the other threads" if self.alone else "each other"
        return self.threads([hog.thread for hog in hogs])

    @property
    def one_hog(self) -> bool:
        """The first hog stands for all."""
        hogs = self.finding.hogs
        return bool(hogs) and hogs[0].lost_ns >= _CHIEF * sum(hog.lost_ns for hog in hogs)

    @property
    def hog(self) -> Hog | None:
        """Who was in the way most."""
        return self.finding.hogs[0] if self.finding.hogs else None

    def thread(self, index: int) -> str:
        """A thread in backticks."""
        return f"`{self.labels.thread(index)}`"

    def threads(self, indices: Sequence[int], number: int = 0) -> str:
        """Some threads of ``number``; the first ones by name."""
        number = max(number, len(indices))
        named = [self.thread(index) for index in indices[:_NAMED]]
        more = number - len(named)
        if more > 0:
            named = [*named[:1], "1 other thread" if number == 2 else f"{number - 1} other threads"]
        return " and ".join(named)

    @property
    def where(self) -> str:
        """Where the first hog's holds ended: `` at load.py:88 in spin``."""
        hog = self.hog
        if hog is None or not hog.places:
            return ""
        first = hog.places[0]
        at = at_place(self.labels.place(first.place), first.lost_ns, hog.lost_ns)
        return at if self.one_hog or not at else f", {self.thread(hog.thread)}{at}"

    def call(self, one: LetGo) -> str:
        """What to call it, as in the table of calls."""
        if not one.call:
            place = self.labels.place(one.place)
            return f"code at {place}" if place else "code that is not known"
        name = printable(one.call, _CALL_LIMIT)
        return f"‘{name}’" if one.source is Source.TEXT else name

    @property
    def gaps(self) -> bool:
        """Events are missing from the record."""
        trace = self._results.trace
        return bool(trace.lost_events or trace.loss.bytes_skipped or trace.loss.events_unread)

    @property
    def users(self) -> int:
        """How many threads used the GIL."""
        trace, gil = self._results.trace, self.finding.gil
        return len(distinct(trace.holds.thread[trace.holds_of(gil)]))

    def call_label(self, call: int) -> str:
        """The name of a C call by its number."""
        return self._results.trace.calls[call].label

    @property
    def calls(self) -> str:
        """In which calls the victims let go, the dearest first; ``""`` if that is not known."""
        merged: dict[str, int] = {}
        for one in self.finding.calls:
            if one.call or one.place:
                name = self.call(one)
                merged[name] = merged.get(name, 0) + one.waits
        shown = [f"{name} ({times(n)})" for name, n in list(merged.items())[:_CALLS]]
        more = len(merged) - len(shown)
        if more > 0:
            shown.append(f"{count(more, 'other call')}")
        return listed(shown)

    @property
    def often(self) -> str:
        """How many waits: ``739 times``."""
        return times(self.finding.waits)

    @property
    def long(self) -> str:
        """How long they were."""
        finding = self.finding
        if finding.waits == 1:
            return duration(finding.max_ns)
        mean = duration(round(finding.mean_ns))
        return f"{mean} each time on average, {duration(finding.max_ns)} at worst"

    @property
    def lost(self) -> str:
        """How much: ``3.8 s (86 % of the time)``."""
        return f"{duration(self.total_ns)} ({self.part})"

    @property
    def part(self) -> str:
        """Which share of the victims' time."""
        number = 1 if self.alone else max(1, self.finding.threads)
        text = f"{share(self.total_ns, number * self.wall_ns)} of the time"
        return text if number == 1 else f"{text} of each on average"

    @property
    def others(self) -> str:
        """What the threads lost that the first victim stands for; ``""`` for nothing."""
        number = self.finding.threads - 1
        if not self.alone or not number:
            return ""
        rest_ns = self.total_ns - self.finding.victims[0].lost_ns
        return f"{count(number, 'other thread')} lost {duration(rest_ns)} the same way."

    def predicted(self, wanted: Callable[[Policy], bool]) -> str:
        """What a remedy is predicted to do to the first victim; ``""`` if that is not known."""
        for one in self._results.predictions.get(self.finding.gil, []):
            if wanted(one.policy) and one.victim == self.finding.victims[0].thread:
                most = f" to {duration(one.high_ns)}" if one.lower_bound else ""
                unit = "an iteration" if one.cycles > 1 else "in all"
                return (
                    f" (predicted: {duration(one.cycle_ns)}{most} {unit} instead of "
                    f"{duration(one.recorded_ns)})"
                )
        return ""

    def at(self, ns: int) -> str:
        """An instant, counted from the beginning."""
        return duration(ns - self._start_ns)

    @property
    def evidence(self) -> str:
        """When, how sure, on what grounds."""
        finding = self.finding
        sure = share(finding.confidence, 1)
        if not finding.evidence:
            return f"{sure} sure."
        waits = self._results.trace.waits
        longest = int(waits.start[finding.evidence[0]])
        span = f"from {self.at(finding.start_ns)} to {self.at(finding.end_ns)}"
        at = f", the longest at {self.at(longest)}" if finding.waits > 1 else ""
        return f"{sure} sure: {count(finding.waits, 'wait')} {span}{at}."


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentences(*parts: str) -> str:
    """Those of them that say something, one after the other."""
    return " ".join(part for part in parts if part)
