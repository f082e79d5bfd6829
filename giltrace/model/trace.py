"""A trace: all that one capture says, in the vocabulary of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from giltrace.capture.reader import Loss
from giltrace.capture.records import End, Sample, SessionInfo, SourceText
from giltrace.capture.scheduling import RECORDED, Recorded
from giltrace.model.calls import IDLE_KINDS, Call, kinds_of
from giltrace.model.dense import rows_of
from giltrace.model.descriptors import Descriptors
from giltrace.model.expressions import Expressions
from giltrace.model.handoffs import handoffs
from giltrace.model.offgil import off_gil
from giltrace.model.running import Running, exact, running
from giltrace.model.scheduling import Scheduling
from giltrace.model.stacks import Stacks
from giltrace.model.tables import (
    I4,
    I8,
    CpuReadings,
    DropRequests,
    FunctionSpans,
    Gil,
    Handoffs,
    Holds,
    OffGil,
    Place,
    Priorities,
    Process,
    Thread,
    Waits,
)


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Everything there is to know about one recording. Nothing in it ever changes.

    Attributes:
        session: what was recorded, by which giltrace.
        processes: by index.
        gils: by index, sorted by process and number.
        threads: by index, sorted by process and number.
        places: by number; 0 is the unknown place.
        stacks: by number, tuples of place numbers, innermost caller first; 0 is ``()``.
        calls: by number, the C calls in which holds were released; 0 is the unknown call.
        holds: who held which GIL when.
        waits: who waited for which GIL when.
        drop_requests: who asked which hold to end when.
        breaks: int64, ascending: holds after which events of their thread are missing.
        cpu: what the CPU clocks of the threads showed when.
        spans: which Python functions ran when, if that was recorded.
        priorities: how urgent threads were from when on.
        scheduling: what the kernel did with threads, if that was recorded.
        descriptors: what file descriptors stood for.
        sources: text from the recorded source files.
        samples: what the kernel said; ``process`` is an index into ``processes``.
        start_ns: the earliest start of a process.
        end_ns: the latest end of a process.
        lost_events: events for which there was no room, in all processes.
        lost_scheduling: rows of the kernel's for which there was no room.
        notes: what the reader of any result has to be told, in sentences.
        end: how the recorded program ended; None if the recorder did not live to see it.
        loss: what could not be read of the file.
    """

    session: SessionInfo
    processes: tuple[Process, ...]
    gils: tuple[Gil, ...]
    threads: tuple[Thread, ...]
    places: Sequence[Place]
    stacks: Stacks
    calls: Sequence[Call]
    holds: Holds
    waits: Waits
    drop_requests: DropRequests
    breaks: I8
    cpu: CpuReadings
    spans: FunctionSpans
    priorities: Priorities
    scheduling: Scheduling
    descriptors: Descriptors
    sources: tuple[SourceText, ...]
    samples: tuple[Sample, ...]
    start_ns: int
    end_ns: int
    lost_events: int
    lost_scheduling: int
    notes: tuple[str, ...]
    end: End | None
    loss: Loss

    def __repr__(self) -> str:
        """A line for the prompt and the notebook; all that is in it would take pages."""
        argv = self.processes[0].argv if self.processes else self.session.argv
        return (
            f"<Trace of {' '.join(argv)[:60]!r}: {(self.end_ns - self.start_ns) / 1e9:.3f} s, "
            f"processes={len(self.processes)}, threads={len(self.threads)}, "
            f"holds={len(self.holds)}, waits={len(self.waits)}>"
        )

    @cached_property
    def handoffs(self) -> Handoffs:
        """All hand-offs (made at first use)."""
        return handoffs(self.holds)

    @cached_property
    def off_gil(self) -> OffGil:
        """All stretches off the GIL (made at first use)."""
        kinds, ran = kinds_of(self.calls), self.running
        return off_gil(
            self.holds,
            self.waits,
            self.breaks,
            cpu_ns=ran.off_cpu_ns,
            busy_ns=ran.off_busy_ns,
            kinds=kinds,
        )

    @cached_property
    def running(self) -> Running:
        """How much CPU time holds, and the stretches after them, took (made at first use)."""
        idle = np.isin(kinds_of(self.calls), list(IDLE_KINDS))
        read = running(self.holds, self.waits, self.breaks, self.cpu, idle)
        return exact(read, self.holds, self.waits, self.breaks, self.scheduling)

    @property
    def recorded_scheduling(self) -> Recorded:
        """How much is on record of what the kernel did."""
        said = self.session.options.get("sched")
        return next((known for known in RECORDED if known == said), "off")

    @cached_property
    def expressions(self) -> Expressions:
        """What stands in the source at each place (looked up at use)."""
        return Expressions(self.sources)

    @cached_property
    def line_of(self) -> I4:
        """int32 [places]: for each the first of those in its line of its function.

        A thread that computes is made to let go at whichever expression of a line it is at.
        """
        first: dict[tuple[str, int, str], int] = {}
        return np.array(
            [
                first.setdefault((place.filename, place.line, place.qualname), number)
                for number, place in enumerate(self.places)
            ],
            np.int32,
        )

    def holds_of(self, gil: int) -> slice:
        """Where the holds of one GIL are in the columns of ``holds``."""
        return slice(*rows_of(self.holds.gil, gil))

    def waits_of(self, gil: int) -> slice:
        """Where the waits of one GIL are in the columns of ``waits``."""
        return slice(*rows_of(self.waits.gil, gil))

    def threads_of(self, process: int) -> tuple[Thread, ...]:
        """The threads of one process."""
        return tuple(thread for thread in self.threads if thread.process == process)
