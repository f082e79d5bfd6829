"""The few facts about a trace that a paragraph in words is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Meaning(Enum):
    """What the waits of the thread that waited most come down to."""

    CONVOY = auto()
    """It lets go by itself, and then often waits about a switch interval to get the GIL back."""
    LONG_HOLD = auto()
    """The holder was asked to let go, but did not for several switch intervals."""
    TURNS = auto()
    """It computes as well: it is itself mostly forced to let go."""
    MILD = auto()
    """It waited for less than 1 % of the time."""
    CONTENDED = auto()
    """None of these."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The thread that held the GIL most.

    Attributes:
        name: its label.
        hold_ns: for how long in all.
        place: where it released after most of that time, or ``""``.
        place_ns: the time of the holds that ended there.
    """

    name: str
    hold_ns: int
    place: str
    place_ns: int


@dataclass(frozen=True, slots=True)
class Endings:
    """How often waits ended in which way.

    Attributes:
        forced: the holder was forced out.
        voluntary: the holder let go by itself.
        unknown: neither can be proven.
        unfinished: never, as far as is known.
    """

    forced: int = 0
    voluntary: int = 0
    unknown: int = 0
    unfinished: int = 0


@dataclass(frozen=True, slots=True)
class Waiter:
    """The thread that waited most.

    Attributes:
        name: its label.
        waits: how often it waited.
        wait_ns: for how long in all.
        max_ns: the longest wait.
        blamed: label of the thread that held the GIL for most of these waits, or None.
        blamed_ns: for how long it did.
        blamed_place: where it released after most of that time, or ``""``.
        blamed_place_ns: how much of ``blamed_ns`` that is.
        endings: how these waits ended.
    """

    name: str
    waits: int
    wait_ns: int
    max_ns: int
    blamed: str | None
    blamed_ns: int
    blamed_place: str
    blamed_place_ns: int
    endings: Endings


@dataclass(frozen=True, slots=True)
class LongHold:
    """A hold that went on long after a drop request.

    Attributes:
        name: label of the holder.
        place: where it released at last, or ``""``.
        overdue_ns: from the first drop request to the release.
    """

    name: str
    place: str
    overdue_ns: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to say. All about a GIL is about the one that was waited for most.

    Attributes:
        notes: what the reader of the numbers has to know first, in sentences.
        incomplete: events were lost, or a part of the capture could not be read.
        program: the command line, or ``""``.
        python: implementation and version, or ``""`` if processes differ.
        wall_ns: length of the recording.
        processes: number of processes; likewise ``threads`` and ``gils``.
        gil_enabled: whether any process ran with a GIL at all.
        gil: label of that GIL.
        gil_threads: number of threads that held or awaited it.
        gil_wall_ns: for how long it was watched.
        held_ns: for how long it was held.
        switch_interval_ns: its switch interval.
        holder: None if nobody held it.
        waiter: None if nobody waited for it.
        others: threads that waited for it beside ``waiter``, their waits, and the ns of these.
        long_hold: the hold that explains the waits of ``waiter``, if a single one does.
        meaning: of the waits of ``waiter``.
        inferred: the holds of that GIL are inferred from function calls; waits were not seen.
    """

    notes: tuple[str, ...]
    incomplete: bool
    program: str
    python: str
    wall_ns: int
    processes: int
    threads: int
    gils: int
    gil_enabled: bool
    gil: str
    gil_threads: int
    gil_wall_ns: int
    held_ns: int
    switch_interval_ns: int
    holder: Holder | None
    waiter: Waiter | None
    others: tuple[int, int, int]
    long_hold: LongHold | None
    meaning: Meaning
    inferred: bool = False
