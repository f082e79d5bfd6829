"""Pictures that are tables at heart: time of each thread, lengths of waits, who waited for whom."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.report.html.timeline import STATES
from giltrace.wording.human import duration, share
from giltrace.wording.results import Results

_THREADS: Final = 16
_SIDE: Final = 12
_STEPS: Final = (1, 2, 5)
_SHADES: Final = 5
_FREE: Final = "nobody (hand-off)"
_OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Bar:
    """What one thread did with its time.

    Attributes:
        label: the thread.
        segments: class, beginning and width of each part, in per cent of the recording.
        words: the same in words.
    """

    label: str
    segments: tuple[tuple[str, float, float], ...]
    words: str


@dataclass(frozen=True, slots=True)
class Bin:
    """Waits of about one length.

    Attributes:
        label: from how long to how long.
        waits: how many there were.
        total: how long they were together.
        width: how many there were, in per cent of the fullest bin.
        note: what is special about this length.
    """

    label: str
    waits: str
    total: str
    width: float
    note: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who waited for whom.

    Attributes:
        holders: the heads of the columns.
        rows: each waiter with a text and a shade, 0 to 5, for each holder.
    """

    holders: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


def thread_bars(results: Results) -> list[Bar]:
    """Where the time of the threads went that held or waited most."""
    wall_ns = max(1, results.trace.end_ns - results.trace.start_ns)
    used = [one for one in results.summary.threads if one.acquires or one.waits]
    used.sort(key=lambda one: one.hold_ns + one.wait_ns, reverse=True)
    bars = []
    for one in used[:_THREADS]:
        off = results.activities[one.thread]
        times = {
            "held": one.hold_ns - off.not_running_ns,
            "idle": off.not_running_ns,
            "waited": one.wait_ns,
            "native": off.native_ns,
            "blocked": off.blocked_ns,
            "lock": off.lock_ns,
            "sleep": off.sleep_ns,
            "switch": off.switch_ns,
            "unknown": off.unknown_ns,
        }
        segments, at, words = [], 0.0, []
        for name, text, _ in STATES:
            width = round(100 * times[name] / wall_ns, 2)
            if width > 0:
                segments.append((name, round(at, 2), width))
                at += width
            if times[name] >= wall_ns / 100:
                words.append(f"{text} {share(times[name], wall_ns)}")
        label = results.labels.thread(one.thread)
        bars.append(Bar(label, tuple(segments), ", ".join(words) or "hardly anything"))
    return bars


def histogram(results: Results) -> list[Bin]:
    """How long waits were: steps of 1, 2 and 5, from the shortest to the longest."""
    ns = results.trace.waits.ns
    if not len(ns):
        return []
    edges = np.array([step * 10**power for power in range(19) for step in _STEPS][:-2], np.int64)
    index = np.searchsorted(edges, np.maximum(ns, 1), side="right") - 1
    number = np.bincount(index, minlength=len(edges))
    total = np.zeros(len(edges), np.int64)
    np.add.at(total, index, ns)
    used = np.flatnonzero(number)
    intervals = {gil.switch_interval_ns for gil in results.trace.gils}
    bins = []
    for at in range(int(used[0]), int(used[-1]) + 1):
        low, high = int(edges[at]), int(edges[min(at + 1, len(edges) - 1)])
        here = any(low <= interval < high for interval in intervals)
        bins.append(
            Bin(
                label=f"{duration(low)} – {duration(high)}",
                waits=f"{number[at]:,}",
                total=duration(int(total[at])) if number[at] else "-",
                width=round(100 * float(number[at]) / float(number.max()), 2),
                note="switch interval" if here else "",
            )
        )
    return bins


def blame_matrix(results: Results) -> Matrix | None:
    """Who waited how long for whom; the threads that matter most by name."""
    cells: defaultdict[tuple[int, int | None], int] = defaultdict(int)
    for row in results.blamed_lines:
        cells[row.waiter, row.holder] += row.wait_ns
    if not cells:
        return None
    waiters, holders = _most(cells, 0), _most(cells, 1)
    merged: defaultdict[tuple[str, str], int] = defaultdict(int)

    def name(thread: int | None, named: list[int | None]) -> str:
        if thread not in named:
            return _OTHERS
        return _FREE if thread is None else results.labels.thread(thread)

    for (waiter, holder), ns in cells.items():
        merged[name(waiter, waiters), name(holder, holders)] += ns
    heads = [name(holder, holders) for holder in holders]
    sides = [name(waiter, waiters) for waiter in waiters]
    heads += [_OTHERS] if any(head == _OTHERS for _, head in merged) else []
    sides += [_OTHERS] if any(side == _OTHERS for side, _ in merged) else []
    most = max(merged.values())
    rows = []
    for side in sides:
        times = [merged.get((side, head), 0) for head in heads]
        shaded = tuple((duration(ns) if ns else "-", _shade(ns, most)) for ns in times)
        rows.append((side, shaded))
    return Matrix(tuple(heads), tuple(rows))


def _most(cells: dict[tuple[int, int | None], int], side: int) -> list[int | None]:
    """The threads of one side of the matrix that most time falls on."""
    total: defaultdict[int | None, int] = defaultdict(int)
    for key, ns in cells.items():
        total[key[side]] += ns
    return sorted(total, key=lambda thread: -total[thread])[:_SIDE]


def _shade(ns: int, most: int) -> int:
    """0 for nothing, and up to 5; each step is a quarter of the one above."""
    if ns <= 0:
        return 0
    return max(1, _SHADES + int(np.floor(np.log(ns / most) / np.log(4) + 0.5)))
