"""Where a timeline gets what it shows.

A timeline draws lanes. Each group of lanes is one GIL: first the GIL's own lane, which shows who
holds it, then one lane for each thread that has to do with it. A lane is made of intervals, which
do not overlap: in each, its thread is in one state. Zoomed out, a character cell covers many of
them, so what is asked for is how long a lane was in each state in each cell.

`Source` is all that the widgets know. `giltrace.tui.trace_source` answers for a finished recording.
One that grows answers in the same way, with a greater `Source.revision` after each change; or the
timeline is given another source. Nothing that has been handed out ever changes: lanes keep
their index, and an interval that has ended stays as it is.

Times are integer nanoseconds of CLOCK_MONOTONIC. All texts are safe to show, of bounded length, and
without line feeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from giltrace.analysis.timeline.state import State
from giltrace.model.tables import I4, I8


@dataclass(frozen=True, slots=True)
class Group:
    """One GIL and its lanes.

    Attributes:
        label: what it is called, such as ``process 123``.
        note: what the reader has to know about it, such as that its hand-offs are inferred; or
            ``""``.
    """

    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the timeline. The lanes of a group stand together, the GIL's first.

    Attributes:
        index: its place in `Source.lanes`.
        group: index into `Source.groups`.
        label: what it is called; unique.
        is_gil: it is the GIL's own lane.
        colour: number of the colour that its thread has in the GIL's lane; from 0.
        note: what else there is to know of its thread, in a few characters: its priority.
    """

    index: int
    group: int
    label: str
    is_gil: bool = False
    colour: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time in which a thread was in one state.

    Attributes:
        lane: the lane of its thread, also if it was found in the GIL's lane.
        state: what the thread did; never `State.NONE`.
        start: ns.
        end: ns; of one that has not ended yet, the end of the record.
        ref: what the source knows it by.
    """

    lane: int
    state: State
    start: int
    end: int
    ref: int

    @property
    def ns(self) -> int:
        """How long it lasted."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Holders:
    """Who held a GIL, cell by cell.

    Attributes:
        lane: int32 [cells], the lane of the thread that held it longest in the cell; -1 for none.
        longest_ns: int64 [cells], for how long that thread held it.
        held_ns: int64 [cells], for how long all threads together did.
    """

    lane: I4
    longest_ns: I8
    held_ns: I8


class Jump(Enum):
    """What one can go to: the next one or the previous one."""

    WAIT = "wait"
    """A wait."""
    HANDOFF = "hand-off"
    """A hold that began with a hand-off."""
    FORCED = "forced switch"
    """A hold that was forced to end."""
    STALL = "convoy stall"
    """A wait that is a convoy stall."""
    LONGEST = "longest wait"
    """The longest wait, then the next shorter one; backwards, the next longer one."""

    @property
    def is_wait(self) -> bool:
        """What is found is a wait, rather than a hold."""
        return self in {Jump.WAIT, Jump.STALL, Jump.LONGEST}


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that a search found.

    Attributes:
        kind: what it is: ``thread``, ``function``, ``call``.
        label: its name.
        note: how often it is there.
        lane: the lane of a thread; -1 for other kinds, which `Source.find_hit` finds.
        key: what the source knows it by.
    """

    kind: str
    label: str
    note: str
    lane: int = -1
    key: int = -1


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of source.

    Attributes:
        number: from 1.
        text: with its indentation.
        is_it: the line in question, rather than one around it.
    """

    number: int
    text: str
    is_it: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an interval that another thread is responsible for.

    Attributes:
        lane: its lane, or -1: nobody.
        label: its name.
        ns: how much of the interval.
        share: the same in per cent, in words.
        where: place and call, or ``""``.
        interval: the largest of its intervals that had to do with it, or None.
    """

    lane: int
    label: str
    ns: int
    share: str
    where: str
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """All there is to say about an interval.

    Attributes:
        title: who did what, for how long.
        is_wait: it is a wait, so that ``parts`` is what explains it.
        facts: label and text of each.
        parts_title: what the parts are, such as ``held meanwhile by``.
        parts: the largest first; a bounded number.
        more: how many parts are left out.
        code: source lines around the place.
        code_title: which place that is.
    """

    title: str
    is_wait: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    parts_title: str = ""
    parts: tuple[Part, ...] = ()
    more: int = 0
    code: tuple[CodeLine, ...] = ()
    code_title: str = ""


class Source(Protocol):
    """What a timeline shows. Answers must be quick: they are asked for at every key."""

    @property
    def revision(self) -> int:
        """Greater whenever any answer may have changed."""

    @property
    def start_ns(self) -> int:
        """When the recording begins."""

    @property
    def end_ns(self) -> int:
        """When it ends, or up to when it is known."""

    @property
    def groups(self) -> Sequence[Group]:
        """All GILs. May grow."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """All lanes in the order of the screen, group by group. May grow."""

    def cells(self, lanes: Sequence[int], edges: I8) -> I8:
        """For how long threads were in each state in each cell.

        Args:
            lanes: indices of lanes of threads.
            edges: int64 [cells + 1], ascending: the cells lie between them.

        Returns:
            int64 [lanes, cells, states], in ns, exact. Time that is not on record counts for no
            state.
        """

    def holders(self, lane: int, edges: I8) -> Holders:
        """Who held the GIL in each cell; ``lane`` is the GIL's."""

    def at(self, lane: int, ts: int) -> Interval | None:
        """What a thread does at a time, or who holds the GIL; None if nobody, or not on record."""

    def between(self, lane: int, start: int, end: int, limit: int) -> list[Interval] | None:
        """The intervals in a stretch of time, in order; None if there are more than ``limit``."""

    def text(self, interval: Interval) -> str:
        """A few words to stand inside an interval: its place, its call."""

    def find(self, jump: Jump, lane: int, origin: Interval | int, back: bool) -> Interval | None:
        """The next interval of a kind, or the previous one; None if there is none.

        Args:
            jump: what is wanted.
            lane: where to look; from a GIL's lane, in all lanes of its group.
            origin: from where: an interval that was found, or a time.
            back: go backwards.
        """

    def follow(self, interval: Interval) -> Interval | None:
        """The interval at the other end of the hand-off that ends this one.

        From a hold, and from the stretch off the GIL that follows it, the hold of the thread that
        got the GIL. From a wait, the hold that was given up for it. None where there was no
        hand-off.
        """

    def describe(self, interval: Interval) -> Details:
        """All there is to say about an interval."""

    def search(self, text: str, limit: int) -> list[Hit]:
        """Threads, functions and calls with a text in their names, the best ones first."""

    def find_hit(self, hit: Hit, lane: int, origin: Interval | int, back: bool) -> Interval | None:
        """As `find`, for a function or a call."""
