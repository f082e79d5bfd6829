"""How threads stand to each other: who waits for whom, and is that mutual?

A convoy is one-sided: the victim waits for the hog again and again, the hog hardly ever for the
victim. Among equals everyone waits for everyone else about as long. Over a short time that need not
be so of each two of them; but each makes the others wait about as long as it waits itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from giltrace.model.dense import numbered, sums
from giltrace.model.tables import I8, Bool

if TYPE_CHECKING:
    from giltrace.analysis.findings.scene import Scene

ONE_SIDED: Final = 2
"""One thread waits so many times as long for the other as the other for it."""
_PAIRS: Final = 1 << 19


@dataclass(frozen=True, slots=True)
class Standing:
    """What a thread is to those it waits for.

    Attributes:
        behind: bool [threads], most of its long waits are for threads that do not wait for it, and
            it does not make others wait.
        among: bool [threads], it has long waits and is not behind.
    """

    behind: Bool
    among: Bool


def standing(scene: Scene) -> Standing:
    """All threads, by their waits that fell on long holds.

    Very many of these are thinned out evenly: that changes all sums alike.
    """
    count = len(scene.trace.threads)
    key, ns = _by_pair(scene, count)
    pairs, index = numbered(key)
    ns = sums(index, ns, len(pairs))
    waiter, holder = np.divmod(pairs, max(1, count))
    reverse = holder * count + waiter
    at = np.minimum(np.searchsorted(pairs, reverse), max(0, len(pairs) - 1))
    back = np.where(pairs[at] == reverse, ns[at], 0) if len(pairs) else ns
    one_sided = ns >= ONE_SIDED * back
    waited, caused = sums(waiter, ns, count), sums(holder, ns, count)
    behind = 2 * sums(waiter[one_sided], ns[one_sided], count) >= waited
    behind &= (waited > 0) & (waited >= ONE_SIDED * caused)
    return Standing(behind=behind, among=(waited > 0) & ~behind)


def _by_pair(scene: Scene, count: int) -> tuple[I8, I8]:
    """Waiter and holder as one number, and the time, of each wait on each long hold."""
    long = np.flatnonzero(scene.long)
    rows = scene.behind_long
    first = np.searchsorted(long, scene.overlaps.first[rows])
    holds = np.searchsorted(long, scene.overlaps.stop[rows]) - first
    step = max(1, -(-int(holds.sum()) // _PAIRS))
    rows, first, holds = rows[::step], first[::step], holds[::step]
    row = np.repeat(rows, holds)
    skipped = np.repeat(first - (holds.cumsum() - holds), holds)
    hold = long[np.arange(len(row)) + skipped]
    ns = np.minimum(scene.hold_end[hold], scene.wait_end[row])
    ns -= np.maximum(scene.hold_start[hold], scene.wait_start[row])
    key = scene.waiter[row].astype(np.int64) * count + scene.holder[hold]
    return key, np.maximum(ns, 0)
