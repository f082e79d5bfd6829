"""What there is little of: findings, notes, lost events, and what the kernel said in samples.

All of it fits in memory, so each exporter writes it as it likes best, before the points.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from giltrace.analysis.findings.registry import find_all
from giltrace.export import labels
from giltrace.export.findings import args_of, title

if TYPE_CHECKING:
    from giltrace.capture.records import Sample
    from giltrace.model import Trace

_MIB: Final = 1 << 20
_PERCENT: Final = 100
_UNWOKEN: Final = (
    "It is not on record when threads were woken: sleeping includes waiting for a CPU after that."
)

Args: TypeAlias = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something said about a stretch of time.

    Attributes:
        track: name of the track it belongs on.
        gil: index of the GIL that the track belongs to; None for the whole trace.
        row: number of the row on that track: remarks of one row do not overlap.
        name: what is said.
        start_ns: when it begins.
        end_ns: when it ends; None for an instant.
        args: details, in words and numbers.
    """

    track: str
    gil: int | None
    row: int
    name: str
    start_ns: int
    end_ns: int | None
    args: Args


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that was sampled again and again.

    Attributes:
        process: index of the process it is about.
        name: of its track.
        unit: of its values.
        points: time in ns, and the value from then on.
    """

    process: int
    name: str
    unit: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Extras:
    """Everything of which there is little.

    Attributes:
        remarks: notes, findings and lost events, in this order.
        counters: process by process.
    """

    remarks: tuple[Remark, ...]
    counters: tuple[Counter, ...]


def extras(trace: Trace) -> Extras:
    """All of it, for one trace."""
    return Extras(tuple(remarks(trace)), tuple(counters(trace)))


def remarks(trace: Trace) -> list[Remark]:
    """Notes, findings and lost events, in this order."""
    said = [*trace.notes, *([_UNWOKEN] if trace.recorded_scheduling == "switches" else [])]
    notes = [
        Remark(labels.NOTES_TRACK, None, 0, labels.note_label(note), trace.start_ns, None, {})
        for note in said
    ]
    return [*notes, *_findings(trace), *_lost(trace)]


def _findings(trace: Trace) -> Iterator[Remark]:
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for finding in find_all(trace):
        ends = rows[finding.gil]
        row = next((n for n, end in enumerate(ends) if end <= finding.start_ns), len(ends))
        ends[row : row + 1] = [finding.end_ns]
        yield Remark(
            labels.FINDINGS_TRACK,
            finding.gil,
            row,
            title(trace, finding),
            finding.start_ns,
            finding.end_ns,
            args_of(trace, finding),
        )


def _lost(trace: Trace) -> Iterator[Remark]:
    holds = trace.holds
    for hold in trace.breaks.tolist():
        thread = trace.threads[holds.thread[hold]]
        args: Args = {"thread": labels.thread_id_label(thread)}
        gil, ts_ns = int(holds.gil[hold]), int(holds.end[hold])
        yield Remark(labels.LOST_TRACK, gil, 0, labels.LOST, ts_ns, None, args)


def counters(trace: Trace) -> list[Counter]:
    """What was sampled of each process; rates are those since the sample before."""
    found: list[Counter] = []
    for process in trace.processes:
        samples = sorted(
            (sample for sample in trace.samples if sample.process == process.index),
            key=lambda sample: sample.ts_ns,
        )
        found += _gauges(process.index, samples)
        found += _rates(process.index, samples)
    return found


def _gauges(process: int, samples: list[Sample]) -> Iterator[Counter]:
    if samples:
        yield Counter(
            *(process, labels.MEMORY_TRACK, "MiB"),
            tuple((sample.ts_ns, sample.rss / _MIB) for sample in samples),
        )
        yield Counter(
            *(process, labels.THREADS_TRACK, "threads"),
            tuple((sample.ts_ns, sample.num_threads) for sample in samples),
        )


def _rates(process: int, samples: list[Sample]) -> Iterator[Counter]:
    pairs = [(a, b) for a, b in pairwise(samples) if b.ts_ns > a.ts_ns]
    if not pairs:
        return
    rates: tuple[tuple[str, str, int, Callable[[Sample], int]], ...] = (
        (labels.CPU_TRACK, "%", _PERCENT, lambda s: s.cpu_user_ns + s.cpu_system_ns),
        (labels.VOLUNTARY_TRACK, "/s", 10**9, lambda s: s.ctx_voluntary),
        (labels.INVOLUNTARY_TRACK, "/s", 10**9, lambda s: s.ctx_involuntary),
    )
    for name, unit, factor, total in rates:
        points = [(a.ts_ns, factor * (total(b) - total(a)) / (b.ts_ns - a.ts_ns)) for a, b in pairs]
        yield Counter(process, name, unit, (*points, (pairs[-1][1].ts_ns, 0.0)))
