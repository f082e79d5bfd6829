"""Starvation: waits far longer than it takes to let everyone before have a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import PART, RARE
from giltrace.analysis.findings.scene import Scene
from giltrace.model.tables import I8, Bool

ROUNDS: Final = 4
"""A wait of so many rounds is far beyond a thread's share."""

SLICE_NS: Final = 3_000_000
"""A shorter turn is not expected of the kernel, which lets threads run for about this long."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits longer than several rounds.

    In a round the holder and all other waiters have a turn of one switch interval each, or of
    `SLICE_NS` if that is longer. How many waiters there are is their mean during the wait, itself
    included.
    """
    rows = scene.dear[free[scene.dear]]
    interval = np.maximum(scene.interval(scene.wait_start[rows]), SLICE_NS)
    slow = scene.wait_ns[rows] > ROUNDS * interval
    rows, interval = rows[slow], interval[slow]
    if not len(rows):
        return
    round_ns = interval * _waiters(scene, rows)
    starved = scene.wait_ns[rows] > ROUNDS * round_ns
    rows, round_ns = rows[starved], round_ns[starved]
    lost = int(scene.wait_ns[rows].sum())
    if len(rows) and lost >= max(RARE * scene.wall_ns, PART * int(scene.wait_ns.sum())):
        beyond = lost - int(round_ns.sum())
        yield assemble(scene, Kind.STARVATION, rows, free, fitting_ns=beyond)


def _waiters(scene: Scene, rows: I8) -> npt.NDArray[np.float64]:
    """float64 [rows]: how many threads waited during some waits on average, at least 1."""
    since = int(scene.wait_start.min())
    start = scene.wait_start - since
    end = np.sort(scene.wait_end - since)
    begin, stop = start[rows], start[rows] + scene.wait_ns[rows]
    total = (_passed(start, stop) - _passed(end, stop)) - (
        _passed(start, begin) - _passed(end, begin)
    )
    return np.maximum(total / scene.wait_ns[rows], 1.0)


def _passed(instants: I8, until: I8) -> npt.NDArray[np.float64]:
    """float64: the time from each of some instants, ascending, until others behind them."""
    behind = np.searchsorted(instants, until)
    # As floats: the sum of very many times does not fit in 64 bits.
    total = np.concatenate(([0.0], np.cumsum(instants, dtype=np.float64)))
    found: npt.NDArray[np.float64] = until.astype(np.float64) * behind - total[behind]
    return found
