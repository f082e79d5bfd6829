"""Picking from a trace and its analyses what a paragraph should mention.

It is about one GIL, the one that threads waited for most, and about two threads of it: the one that
waited most and the one it waited for.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from giltrace.analysis.blame import BlameRow
from giltrace.analysis.summary import GilSummary, Summary
from giltrace.model import Cause, Process, Trace
from giltrace.model.tables import I4, I8, Spans
from giltrace.report.endings import endings
from giltrace.report.facts import Endings, Facts, Holder, LongHold, Meaning, Waiter
from giltrace.wording.labels import Labels

_FEW: Final = 3
"""Fewer waits than this make no pattern."""
_OFTEN: Final = 0.1
"""A stall at one in ten acquires is what a thread must expect."""
_RARE: Final = 0.01
"""Waits that take less of the time than this do not slow a program down."""
_OVERDUE: Final = 2
"""Switch intervals after a drop request, from which on the holder did not just react late."""


def gather(trace: Trace, summary: Summary, rows: Sequence[BlameRow], labels: Labels) -> Facts:
    """The facts about ``trace``.

    Args:
        trace: what was recorded.
        summary: its `summarise`.
        rows: its blame `table`.
        labels: of its threads and places.
    """
    foremost = max(summary.gils, key=lambda gil: (gil.wait_ns, gil.held_ns), default=None)
    of_gil = None if foremost is None else _OfGil(trace, foremost, labels)
    waiter = of_gil.waiter(rows) if of_gil else None
    long_hold = of_gil.long_hold() if of_gil and waiter else None
    return Facts(
        notes=trace.notes,
        incomplete=bool(trace.lost_events or trace.loss.bytes_skipped or trace.loss.events_unread),
        program=_program(trace.session.argv),
        python=_python(trace.processes),
        wall_ns=trace.end_ns - trace.start_ns,
        processes=len(trace.processes),
        threads=len(trace.threads),
        gils=len(trace.gils),
        gil_enabled=any(process.gil_enabled for process in trace.processes),
        gil=labels.gil(of_gil.gil.index) if of_gil else "",
        gil_threads=of_gil.threads if of_gil else 0,
        gil_wall_ns=of_gil.gil.wall_ns if of_gil else 0,
        held_ns=foremost.held_ns if foremost else 0,
        switch_interval_ns=of_gil.gil.switch_interval_ns if of_gil else 0,
        holder=of_gil.holder() if of_gil else None,
        waiter=waiter,
        others=of_gil.others() if of_gil else (0, 0, 0),
        long_hold=long_hold,
        meaning=of_gil.meaning(waiter, long_hold) if of_gil and waiter else Meaning.CONTENDED,
        inferred=of_gil is not None and trace.processes[of_gil.gil.process].inferred,
    )


class _OfGil:
    """What happened at one GIL."""

    def __init__(self, trace: Trace, summary: GilSummary, labels: Labels) -> None:
        self._trace = trace
        self._labels = labels
        self.gil = trace.gils[summary.gil]
        self._holds = trace.holds_of(self.gil.index)
        waits = trace.waits_of(self.gil.index)
        self._waits: I8 = np.arange(waits.start, waits.stop)
        count = len(trace.threads)
        self._held_by = _sums(trace.holds.thread[self._holds], _ns(trace.holds, self._holds), count)
        self._waited_by = _sums(trace.waits.thread[waits], _ns(trace.waits, waits), count)
        users = {*np.unique(trace.holds.thread[self._holds]).tolist()}
        self.threads = len(users | {*np.unique(trace.waits.thread[waits]).tolist()})
        self._waiter = int(self._waited_by.argmax()) if len(self._waits) else -1
        self._own = self._waits[trace.waits.thread[waits] == self._waiter]

    def holder(self) -> Holder | None:
        """The thread that held it most, or None if nobody did."""
        if self._holds.start == self._holds.stop:
            return None
        holds, here = self._trace.holds, self._holds
        thread = int(self._held_by.argmax())
        own = holds.thread[here] == thread
        ns = _ns(holds, here)[own]
        by_place = _sums(holds.place[here][own], ns, len(self._trace.places))
        place = int(by_place.argmax())
        return Holder(
            name=self._labels.thread(thread),
            hold_ns=int(self._held_by[thread]),
            place=self._labels.place(place),
            place_ns=int(by_place[place]),
        )

    def waiter(self, rows: Sequence[BlameRow]) -> Waiter | None:
        """The thread that waited most, or None if nobody did."""
        if self._waiter < 0:
            return None
        ns = _ns(self._trace.waits, self._own)
        by_holder: defaultdict[int | None, int] = defaultdict(int)
        by_place: defaultdict[int | None, Counter[int]] = defaultdict(Counter)
        for row in rows:
            if row.waiter == self._waiter:
                by_holder[row.holder] += row.wait_ns
                by_place[row.holder][row.place] += row.wait_ns
        blamed = max(by_holder, key=lambda holder: by_holder[holder], default=None)
        place_ns, place = max(((ns, at) for at, ns in by_place[blamed].items()), default=(0, 0))
        return Waiter(
            name=self._labels.thread(self._waiter),
            waits=len(ns),
            wait_ns=int(ns.sum()),
            max_ns=int(ns.max()),
            blamed=None if blamed is None else self._labels.thread(blamed),
            blamed_ns=by_holder[blamed],
            blamed_place=self._labels.place(place),
            blamed_place_ns=place_ns,
            endings=self._endings(),
        )

    def others(self) -> tuple[int, int, int]:
        """Of all other threads: how many waited, how often, and for how long."""
        others = len(self._waits) - len(self._own)
        if not others:
            return (0, 0, 0)
        threads = len(np.unique(self._trace.waits.thread[self._waits])) - 1
        return (threads, others, int(self._waited_by.sum() - self._waited_by[self._waiter]))

    def long_hold(self) -> LongHold | None:
        """The hold that went on longest after the waiter's request, if that explains its waits."""
        requests, holds = self._trace.drop_requests, self._trace.holds
        own = (requests.gil == self.gil.index) & (requests.thread == self._waiter)
        own &= requests.hold >= 0
        # Requests are in order of time, so the first of each hold is its first row.
        asked, first = np.unique(requests.hold[own], return_index=True)
        overdue = holds.end[asked] - requests.ts[own][first]
        if not len(overdue) or int(overdue.max()) < _OVERDUE * self.gil.switch_interval_ns:
            return None
        late = overdue >= _OVERDUE * self.gil.switch_interval_ns
        if 2 * int(overdue[late].sum()) < int(self._waited_by[self._waiter]):
            return None
        hold = int(asked[overdue.argmax()])
        return LongHold(
            name=self._labels.thread(int(holds.thread[hold])),
            place=self._labels.place(int(holds.place[hold])),
            overdue_ns=int(overdue.max()),
        )

    def meaning(self, waiter: Waiter, long_hold: LongHold | None) -> Meaning:
        """What the waits of ``waiter`` come down to."""
        if long_hold is not None:
            return Meaning.LONG_HOLD
        holds, here = self._trace.holds, self._holds
        causes = holds.cause[here][holds.thread[here] == self._waiter]
        forced_out = int((causes == Cause.FORCED).sum())
        ns = _ns(self._trace.waits, self._own)
        stalls = int((2 * ns >= self.gil.switch_interval_ns).sum())
        if waiter.wait_ns < _RARE * self.gil.wall_ns and stalls < _OFTEN * len(causes):
            return Meaning.MILD
        if 2 * forced_out > len(causes):
            return Meaning.TURNS
        if stalls >= max(_FEW, _OFTEN * len(causes)):
            return Meaning.CONVOY
        return Meaning.MILD if waiter.wait_ns < _RARE * self.gil.wall_ns else Meaning.CONTENDED

    def _endings(self) -> Endings:
        number = np.bincount(endings(self._trace, self._own), minlength=len(Cause)).tolist()
        return Endings(
            forced=number[Cause.FORCED],
            voluntary=number[Cause.VOLUNTARY],
            unknown=number[Cause.UNKNOWN],
            unfinished=number[Cause.NONE],
        )


def _ns(spans: Spans, rows: slice | I8) -> I8:
    """int64: the length of some of ``spans``; unlike ``spans.ns[rows]`` it computes only these."""
    return spans.end[rows] - spans.start[rows]


def _sums(keys: I4, ns: I8, count: int) -> I8:
    """int64 [count]: the sum of ``ns`` of each key."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, keys, ns)
    return sums


def _program(argv: Sequence[str]) -> str:
    """The command line; where the first word is installed tells nothing."""
    return shlex.join([argv[0].rpartition("/")[2], *argv[1:]]) if argv else ""


def _python(processes: Sequence[Process]) -> str:
    """What ran, if all processes ran the same."""
    kinds = {(process.implementation, process.python) for process in processes if process.python}
    if len(kinds) != 1:
        return ""
    implementation, version = kinds.pop()
    name = "CPython" if implementation == "cpython" else implementation
    return f"{name} {version}"
