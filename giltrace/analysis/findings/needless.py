"""Needless releases: calls that would not have blocked let the GIL go, and that was dear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from giltrace.analysis.findings.assembly import Found, assemble
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.limits import FEW, RARE
from giltrace.analysis.findings.scene import Scene
from giltrace.model.calls import OffKind, kinds_of
from giltrace.model.tables import Bool

SHORT_NS: Final = 100_000
"""Who has to be woken up is off the GIL for about this long, or longer: a call that is over
sooner did not block, or as good as not. To keep the GIL meanwhile would cost others less than a
fiftieth of the usual switch interval."""
TIMES: Final = 10
"""Getting the GIL back took so many times as long as the call."""


def find(scene: Scene, free: Bool) -> Iterator[Found]:
    """Waits of about a switch interval or more after short calls that may block.

    Most are convoy stalls as well, and are counted there: this is another view of them.
    """
    rows = scene.dear[scene.after_release[scene.dear]]
    off = scene.off_ns(rows)
    rows = rows[(off <= SHORT_NS) & (scene.wait_ns[rows] >= TIMES * off)]
    kinds = kinds_of(scene.trace.calls)
    may_block = (kinds == OffKind.BLOCKED) | (kinds == OffKind.LOCK)
    rows = rows[may_block[scene.call[scene.before[rows]]]]
    ns = scene.wait_ns[rows]
    if len(rows) >= FEW and ns.sum() >= RARE * scene.wall_ns:
        # What keeping the GIL would have saved: all but the calls themselves.
        fitting = int((ns - scene.off_ns(rows)).sum())
        yield assemble(scene, Kind.NEEDLESS, rows, free, fitting_ns=fitting)
