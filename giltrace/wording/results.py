"""All that the analyses say about one trace, each worked out when it is first looked at."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from giltrace.analysis import blame, calls, stacks
from giltrace.analysis.activity import Activity, activities
from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.analysis.findings.registry import find_all
from giltrace.analysis.scheduling import ThreadScheduling, scheduling
from giltrace.analysis.summary import Summary, summarise
from giltrace.analysis.whatif.predict import Prediction, remedies
from giltrace.model import Trace
from giltrace.wording.labels import Labels

PREDICTED: Final = 3
"""GILs for which remedies are played at most: each may take a second."""

_PLAYABLE: Final = frozenset({
    Kind.CONVOY, Kind.EQUALS, Kind.LONG_HOLD, Kind.HELD_IDLE, Kind.INVERSION, Kind.STARVATION,
    Kind.CONTENDED,
})  # fmt: skip
"""What other rules for the GIL could help against. Threads that wake each other up would have to
be played with what they wait for, which is not known."""


class Results:
    """What every kind of report is made of.

    Attributes:
        trace: what was recorded.
        labels: of its threads, GILs and places.
    """

    def __init__(self, trace: Trace, *, think_ns: int | None = None) -> None:
        """Look at a trace.

        Args:
            trace: what was recorded.
            think_ns: how long the outside world takes to answer, if that is known.
        """
        self.trace = trace
        self.labels = Labels(trace)
        self._think_ns = think_ns

    @cached_property
    def summary(self) -> Summary:
        """The numbers of each GIL and each thread."""
        return summarise(self.trace)

    @cached_property
    def activities(self) -> list[Activity]:
        """Where the time of each thread went."""
        return activities(self.trace)

    @cached_property
    def scheduling(self) -> list[ThreadScheduling]:
        """What the kernel did with each thread, where that is on record."""
        return scheduling(self.trace)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is the matter, what lost most time first."""
        return find_all(self.trace)

    @cached_property
    def predictions(self) -> dict[int, list[Prediction]]:
        """For the GILs that lost most time what remedies would do, the recording itself first."""
        playable = (f.gil for f in self.findings if f.kind in _PLAYABLE)
        gils = list(dict.fromkeys(playable))[:PREDICTED]
        played = {gil: remedies(self.trace, gil=gil, think_ns=self._think_ns) for gil in gils}
        return {gil: predictions for gil, predictions in played.items() if predictions}

    @cached_property
    def blamed_lines(self) -> list[blame.BlameRow]:
        """Who waited for whom at which line."""
        return blame.table(self.trace, by_line=True)

    @cached_property
    def blame(self) -> list[blame.BlameRow]:
        """Who waited for whom at which expression."""
        return blame.table(self.trace)

    @cached_property
    def calls(self) -> list[calls.CallRow]:
        """In which calls threads were off the GIL."""
        return calls.table(self.trace)

    @cached_property
    def stacks(self) -> list[stacks.StackRow]:
        """On whose behalf: by call stack, where callers were recorded."""
        return stacks.table(self.trace)
