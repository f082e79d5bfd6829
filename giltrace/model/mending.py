"""Counting what does not fit together, so that a note can say so."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK_SKEW_NS = 1_000
"""Times that contradict the proven order by no more than this are put right without a word.

The order of tenures is exact, the clock is not: two cores reading it within a few nanoseconds of
each other may disagree about who was first.
"""

MAX_NS = 1 << 62
"""Times beyond this are damage. It leaves room to add two times within 64 signed bits."""


@dataclass(slots=True)
class Mended:
    """What was mended or left out while the events of one process were put together.

    Attributes:
        unknown_kinds: events of a kind this version does not know.
        duplicates: events that were there twice.
        bad_times: events without a possible time, left out.
        backwards: events earlier than one before them of the same thread, or tenures earlier than
            the tenure before them; moved forward in time.
        no_acquire: releases that follow no acquire, but that of the hold in which the record began.
        no_release: holds whose release is not there, though the record goes on.
        no_grant: waits that led to no hold, though their thread goes on.
        misplaced: releases that fit nowhere between the tenures on record, left out.
        overlaps: holds that ended after the next began; cut short.
        stray_requests: drop requests for a tenure that is not on record at that time.
        missing_tenures: tenures that were counted but are not on record.
        lost_events: events that the LOST records count.
        bad_readings: readings of a CPU clock that went backwards, or that have an impossible time.
        bad_spans: function calls of which only one end is on record, or that cross others.
    """

    unknown_kinds: int = 0
    duplicates: int = 0
    bad_times: int = 0
    backwards: int = 0
    no_acquire: int = 0
    no_release: int = 0
    no_grant: int = 0
    misplaced: int = 0
    overlaps: int = 0
    stray_requests: int = 0
    missing_tenures: int = 0
    lost_events: int = 0
    bad_readings: int = 0
    bad_spans: int = 0

    def sentences(self) -> list[str]:
        """One sentence for each thing that happened, for the user."""
        said = [
            (self.unknown_kinds, "event{s} of unknown kind left out (a newer giltrace wrote them)"),
            (self.duplicates, "duplicate event{s} left out"),
            (self.bad_times, "event{s} with an impossible time left out"),
            (self.backwards, "event{s} out of order in time moved to where the order allows"),
            (
                self.no_acquire,
                "release{s} without an acquire on record: the start of the hold is uncertain",
            ),
            (self.no_release, "hold{s} without a release on record: the end is uncertain"),
            (
                self.no_grant,
                "wait{s} without an acquire on record: shown until the thread's next event",
            ),
            (self.misplaced, "release{s} that fit no hold left out"),
            (self.overlaps, "hold{s} that ran into the next cut short"),
            (self.stray_requests, "drop request{s} for a hold that is not on record"),
            (self.missing_tenures, "hold{s} not on record (lost, or recording was paused)"),
            (self.bad_readings, "reading{s} of a CPU clock that ran backwards put right"),
            (
                self.bad_spans,
                "function call{s} left out: one end is missing, or it crosses another",
            ),
        ]
        return [f"{n:,} {text.format(s='s' * (n != 1))}." for n, text in said if n]
