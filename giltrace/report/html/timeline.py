"""The overview: what each thread did when, in a bounded number of bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.timeline.pyramid import Pyramid
from giltrace.analysis.timeline.state import State
from giltrace.analysis.timeline.steps import steps
from giltrace.model.tables import I8
from giltrace.wording.human import duration, share
from giltrace.wording.results import Results
from giltrace.wording.stories import tell

BINS: Final = 400
HEIGHT: Final = 100
THREADS: Final = 16
GILS: Final = 4
HOLDERS: Final = 6
"""Threads with a colour of their own; the others share one."""

_TICKS: Final = 4
_LEAST: Final = 0.005
"""What takes less of a bin than this still makes a mark of this height."""

STATES: Final = (
    ("held", "holds the GIL", State.HOLDING),
    ("idle", "holds it without running", State.HELD_IDLE),
    ("waited", "waits for it", State.WAITING),
    ("native", "computes without it", State.NATIVE),
    ("blocked", "blocked in I/O", State.BLOCKED),
    ("lock", "waits for a thread", State.LOCK),
    ("sleep", "sleeps", State.SLEEP),
    ("switch", "made to let go", State.SWITCHING),
    ("unknown", "off the GIL", State.UNKNOWN),
)
"""Class, meaning and state of what is drawn, from the bottom to the top."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the overview.

    Attributes:
        label: what it is about.
        summary: the same in words, for who cannot see it.
        areas: a class and the data of an SVG path each, in a box of `BINS` by `HEIGHT`.
        colour: class of the thread's own colour, or ``""``.
    """

    label: str
    summary: str
    areas: tuple[tuple[str, str], ...]
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time that a finding is about.

    Attributes:
        tone: class of its colour.
        title: the finding in a sentence.
        x: where it begins, 0 to `BINS`.
        width: how wide it is.
    """

    tone: str
    title: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole overview.

    Attributes:
        bins: how wide the box of each lane is.
        height: and how high.
        bands: of the findings.
        gils: who held each GIL when, and whether anybody waited.
        threads: what each thread did when.
        left_out: how many threads there is no room for.
        ticks: times, evenly spaced from the beginning to the end.
        legend: class and meaning of each state that occurs.
    """

    bins: int
    height: int
    bands: tuple[Band, ...]
    gils: tuple[Lane, ...]
    threads: tuple[Lane, ...]
    left_out: int
    ticks: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]


def draw(results: Results) -> Timeline | None:
    """The overview, or None if nothing was seen."""
    trace = results.trace
    if not len(trace.holds) or trace.end_ns <= trace.start_ns:
        return None
    edges = np.linspace(trace.start_ns, trace.end_ns, BINS + 1).astype(np.int64)
    used = [one for one in results.summary.threads if one.acquires or one.waits]
    used.sort(key=lambda one: one.hold_ns + one.wait_ns, reverse=True)
    shown = [one.thread for one in used[:THREADS]]
    colours = {thread: f"t{number}" for number, thread in enumerate(shown[:HOLDERS])}
    cells = _Cells(results, edges)
    threads = tuple(_thread(results, one, cells, colours.get(one, "others")) for one in shown)
    drawn = {area for lane in threads for area, _ in lane.areas}
    wall_ns = trace.end_ns - trace.start_ns
    return Timeline(
        bins=BINS,
        height=HEIGHT,
        bands=_bands(results),
        gils=_gils(results, cells, colours),
        threads=threads,
        left_out=len(used) - len(shown),
        ticks=("0", *(duration(wall_ns * tick // _TICKS) for tick in range(1, _TICKS + 1))),
        legend=tuple((name, text) for name, text, _ in STATES if name in drawn),
    )


def covered(start: I8, end: I8, edges: I8) -> I8:
    """int64 [bins]: how much of each bin spans cover, which are in order and do not overlap."""
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(end - start)))
    begun = np.searchsorted(start, edges, side="right")
    before = total[begun]
    if len(end):
        last = np.maximum(begun - 1, 0)
        before -= np.where(begun > 0, np.maximum(end[last] - edges, 0), 0)
    return np.diff(before)


def _bands(results: Results) -> tuple[Band, ...]:
    trace = results.trace
    scale = BINS / (trace.end_ns - trace.start_ns)
    return tuple(
        Band(
            tone="bad" if finding.lost_ns else "mild",
            title=tell(results, finding).title,
            x=round((finding.start_ns - trace.start_ns) * scale, 2),
            width=max(1.0, round((finding.end_ns - finding.start_ns) * scale, 2)),
        )
        for finding in results.findings[:HOLDERS]
        if finding.kind is not Kind.HEALTHY
    )


class _Cells:
    """How long who did what in each bin."""

    def __init__(self, results: Results, edges: I8) -> None:
        self.edges = edges
        self._steps = steps(results.trace)
        self._pyramid = Pyramid(self._steps)

    def of(self, thread: int, gil: int | None = None) -> I8:
        """int64 [bins, states]: of a thread at one GIL, or at all."""
        mine = self._steps.thread == thread
        if gil is not None:
            mine &= self._steps.gil == gil
        cells: I8 = self._pyramid.cells(np.flatnonzero(mine), self.edges).sum(axis=0)
        return cells


def _gils(results: Results, cells: _Cells, colours: dict[int, str]) -> tuple[Lane, ...]:
    trace, edges = results.trace, cells.edges
    busiest = sorted(results.summary.gils, key=lambda one: (one.wait_ns, one.held_ns), reverse=True)
    lanes = []
    for one in busiest[:GILS]:
        here, there = trace.holds_of(one.gil), trace.waits_of(one.gil)
        others = covered(trace.holds.start[here], trace.holds.end[here], edges)
        held = {}
        for thread, colour in colours.items():
            states = cells.of(thread, one.gil)
            held[colour] = states[:, State.HOLDING] + states[:, State.HELD_IDLE]
            others = others - held[colour]
        held["others"] = others
        name = "GIL" if len(trace.gils) == 1 else f"GIL of {results.labels.gil(one.gil)}"
        said = f"{name}: held {share(one.utilisation, 1)} of the time"
        lanes.append(Lane(f"{name}: holder", said, _areas(held, edges)))
        if one.waits:
            awaited = covered(*_union(trace.waits.start[there], trace.waits.end[there]), edges)
            said = f"{name}: awaited {share(one.contention, 1)} of the time"
            lanes.append(Lane(f"{name}: awaited", said, _areas({"waited": awaited}, edges)))
    return tuple(lanes)


def _union(start: I8, end: I8) -> tuple[I8, I8]:
    """The union of spans that are in order of their start, as spans that do not overlap."""
    reach = np.maximum.accumulate(end)
    fresh = np.concatenate((np.ones(1, np.bool_), start[1:] > reach[:-1]))
    first = np.flatnonzero(fresh)
    last = np.concatenate((first[1:], [len(start)])) - 1
    return start[first], reach[last]


def _thread(results: Results, thread: int, cells: _Cells, colour: str) -> Lane:
    states, edges = cells.of(thread), cells.edges
    label = results.labels.thread(thread)
    summary = ", ".join(
        f"{text} {share(int(states[:, state].sum()), int(edges[-1] - edges[0]))} of the time"
        for _, text, state in STATES
        if states[:, state].any()
    )
    areas = _areas({name: states[:, state] for name, _, state in STATES}, edges)
    return Lane(label, f"{label}: {summary}", areas, colour)


def _areas(cells: Mapping[str, I8], edges: I8) -> tuple[tuple[str, str], ...]:
    """Stacked bars of some cells by class, the first at the bottom: a path for each class."""
    width = np.maximum(np.diff(edges), 1)
    floor = np.zeros(len(width), np.int64)
    areas = []
    for name, ns in cells.items():
        part = np.where(ns > 0, np.maximum(ns / width, _LEAST), 0)
        height = np.minimum(np.ceil(part * HEIGHT).astype(np.int64), HEIGHT - floor)
        path = _path(floor, height)
        floor = floor + height
        if path:
            areas.append((name, path))
    return tuple(areas)


def _path(floor: I8, height: I8) -> str:
    """Bars on top of a floor; neighbours of one height are one bar."""
    changes = (np.diff(floor) != 0) | (np.diff(height) != 0)
    first = np.concatenate(([0], np.flatnonzero(changes) + 1))
    last = np.concatenate((first[1:], [len(height)]))
    return "".join(
        f"M{x} {HEIGHT - below - high}h{stop - x}v{high}h{x - stop}z"
        for x, stop, below, high in zip(
            first.tolist(),
            last.tolist(),
            floor[first].tolist(),
            height[first].tolist(),
            strict=True,
        )
        if high
    )
