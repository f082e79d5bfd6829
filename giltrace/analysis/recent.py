"""What a short stretch of a recording comes to: a few numbers that can be had twice a second."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.analysis.blame import table
from giltrace.model.tables import I8
from giltrace.model.trace import Trace

F8: TypeAlias = npt.NDArray[np.float64]

_ROWS: Final = 500
_PERCENTILES: Final = (50, 90, 99)


class Blamed(NamedTuple):
    """What all waits together owe to one thread at one place in one call.

    Attributes:
        holder: thread index; None: nobody held the GIL.
        place: number of a place.
        call: number of a call.
        wait_ns: how long, in all.
        waits: how many took part.
    """

    holder: int | None
    place: int
    call: int
    wait_ns: int
    waits: int


@dataclass(frozen=True, slots=True)
class Recent:
    """The numbers.

    Attributes:
        ns: how long the stretch is.
        waits: how many waits there were.
        percentiles: their lengths at 50, 90, 99 %, and the longest, in ns; None without waits.
        blamed: on whom they fell, the most first.
    """

    ns: int
    waits: int
    percentiles: tuple[int, int, int, int] | None
    blamed: tuple[Blamed, ...]


def recent(trace: Trace, limit: int) -> Recent:
    """The numbers of a trace, with ``limit`` rows of blame at most."""
    waits = trace.waits.end - trace.waits.start
    percentiles = None
    if len(waits):
        found = np.percentile(waits, _PERCENTILES, method="inverted_cdf")
        p50, p90, p99 = (int(ns) for ns in found)
        percentiles = (p50, p90, p99, int(waits.max()))
    sums: defaultdict[tuple[int | None, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in table(trace, _ROWS, by_line=True):
        total = sums[row.holder, row.place, row.call]
        total[0] += row.wait_ns
        total[1] += row.waits
    rows = [Blamed(*key, ns, count) for key, (ns, count) in sums.items()]
    rows.sort(key=lambda row: -row.wait_ns)
    return Recent(trace.end_ns - trace.start_ns, len(waits), percentiles, tuple(rows[:limit]))


def utilisation(trace: Trace, edges: I8) -> F8:
    """float64 [cells]: the share of each stretch of time that the busiest GIL was held."""
    found = np.zeros(max(0, len(edges) - 1))
    for gil in trace.gils:
        mine = trace.holds_of(gil.index)
        held = _overlaps(trace.holds.start[mine], trace.holds.end[mine], edges)
        found = np.maximum(found, held / np.diff(edges))
    return found


def waiters(trace: Trace, edges: I8) -> F8:
    """float64 [cells]: how many threads waited in each stretch of time, on average."""
    waited: F8 = _overlaps(trace.waits.start, trace.waits.end, edges) / np.diff(edges)
    return waited


def _overlaps(start: I8, end: I8, edges: I8) -> I8:
    """int64 [cells]: how much of some spans falls between each two edges, in all."""
    base = edges[0] if len(edges) else 0
    before = _since(start - base, edges - base) - _since(end - base, edges - base)
    found: I8 = np.diff(before)
    return found


def _since(times: I8, edges: I8) -> I8:
    """int64 [edges]: for each edge, the time that has passed since each time before it, in all."""
    ordered = np.sort(times)
    sums = np.concatenate(([0], np.cumsum(ordered)))
    count = np.searchsorted(ordered, edges, side="right")
    found: I8 = count * edges - sums[count]
    return found
