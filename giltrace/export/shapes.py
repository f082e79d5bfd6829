"""What points look like: the few facts that decide which slices, arrows and counters to draw.

The points of one kind and shape differ only in some numbers: the time, a place, a count. So an
exporter makes a text once for each shape, with gaps for the numbers; see `assembly`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from giltrace.export.blamed import blamed_holds
from giltrace.export.grouping import Columns, distinct_rows
from giltrace.export.lanes import Lanes
from giltrace.export.points import Kind, Points
from giltrace.export.states import States
from giltrace.model.handoffs import handed_off
from giltrace.model.tables import I8, U1

if TYPE_CHECKING:
    from giltrace.model import Trace


class Gap(Enum):
    """A number that is left open in a shape."""

    TIME = auto()
    """When: the time of the point in ns."""
    WAITERS = auto()
    """``WAIT``, ``ACQUIRE``, ``GIVE_UP``: threads that wait from now on."""
    REQUESTS = auto()
    """``WAIT``: drop requests made during it."""
    BLAMED = auto()
    """``WAIT``: the thread that is most to blame for it."""
    PLACE = auto()
    """``RELEASE``: where. ``WAIT``: where the thread to blame released."""
    TENURE = auto()
    """``ACQUIRE``."""
    WAITER = auto()
    """``DROP_REQUEST``: the thread that made it."""
    HOLDER = auto()
    """``DROP_REQUEST``: the thread that is to let go."""
    PERCENT = auto()
    """``UTILISATION``."""
    HANDOFF = auto()
    """``ACQUIRE``, ``RELEASE``: index of the hold that a hand-off leads to."""
    LEAVES = auto()
    """``RELEASE``: the last time in ns that is within the hold."""


class WaitShape(NamedTuple):
    """``Kind.WAIT``."""

    lane: int
    before: int
    """A `State`, here and below: of the lane up to this point."""
    has_blame: int


class AcquireShape(NamedTuple):
    """``Kind.ACQUIRE``."""

    lane: int
    before: int
    handoff: int
    """Whether a hand-off ends here."""


class ReleaseShape(NamedTuple):
    """``Kind.RELEASE``."""

    lane: int
    handoff: int
    """Whether a hand-off begins here."""
    after: int
    """A `State`: of the lane from now on."""
    cause: int


class GiveUpShape(NamedTuple):
    """``Kind.GIVE_UP``."""

    lane: int


class DropRequestShape(NamedTuple):
    """``Kind.DROP_REQUEST``."""

    gil: int
    has_holder: int


class UtilisationShape(NamedTuple):
    """``Kind.UTILISATION``."""

    gil: int


@dataclass(frozen=True, slots=True)
class Group:
    """The points of one kind in a batch.

    Attributes:
        kind: which.
        here: int64 [n], where they are in the batch.
        ts: int64 [n] ns.
        ref: int64 [n], see `Kind`.
        value: int64 [n], see `Kind`.
        blamed: int64 [n] for ``Kind.WAIT``: the hold that is most to blame, or -1.
        shapes: the distinct shapes, all of the type for that kind.
        which: int64 [n], index into ``shapes``.
    """

    kind: Kind
    here: I8
    ts: I8
    ref: I8
    value: I8
    blamed: I8
    shapes: list[Any]
    which: I8


class _Facts(NamedTuple):
    """Points of one kind, as columns: see `Points` and `States.follow`."""

    ref: I8
    lane: I8
    before: U1
    after: U1
    blamed: I8


class Shapes:
    """Finds the shapes of points, batch by batch in the order of time."""

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._states = States(trace, lanes)
        # Whether a hand-off led to each hold from the one before it; one more, for the end.
        self._handed_off = np.zeros(len(trace.holds) + 1, np.bool_)
        self._handed_off[1:-1] = handed_off(trace.holds)
        self._kinds: dict[Kind, tuple[Callable[..., Any], Callable[[_Facts], Columns]]] = {
            Kind.WAIT: (WaitShape, self._wait),
            Kind.ACQUIRE: (AcquireShape, self._acquire),
            Kind.RELEASE: (ReleaseShape, self._release),
            Kind.GIVE_UP: (GiveUpShape, lambda at: (at.lane,)),
            Kind.DROP_REQUEST: (DropRequestShape, self._drop_request),
            Kind.UTILISATION: (UtilisationShape, lambda at: (at.ref,)),
        }

    def of(self, points: Points) -> Iterator[Group]:
        """The points of a batch, one group for each kind that occurs in it."""
        lane, before, after = self._states.follow(points)
        for kind, (shape, columns) in self._kinds.items():
            here = np.flatnonzero(points.kind == kind)
            if not len(here):
                continue
            ref = points.ref[here]
            blamed = blamed_holds(self._trace, ref) if kind is Kind.WAIT else ref
            rows, which = distinct_rows(
                columns(_Facts(ref, lane[here], before[here], after[here], blamed))
            )
            shapes = [shape(*row) for row in rows]
            yield Group(kind, here, points.ts[here], ref, points.value[here], blamed, shapes, which)

    def numbers(self, group: Group, gap: Gap, mine: I8) -> I8:
        """What belongs into a gap.

        Args:
            group: of points.
            gap: one that its kind has.
            mine: int64 [m], for which points of the group.
        """
        holds, waits, requests = self._trace.holds, self._trace.waits, self._trace.drop_requests
        ref = group.ref[mine]
        is_wait, is_release = group.kind is Kind.WAIT, group.kind is Kind.RELEASE
        found: dict[Gap, Callable[[], npt.NDArray[np.integer[Any]]]] = {
            Gap.TIME: lambda: group.ts[mine],
            Gap.WAITERS: lambda: group.value[mine],
            Gap.REQUESTS: lambda: waits.requests[ref],
            Gap.BLAMED: lambda: holds.thread[group.blamed[mine]],
            Gap.PLACE: lambda: holds.place[group.blamed[mine] if is_wait else ref],
            Gap.TENURE: lambda: holds.tenure[ref],
            Gap.WAITER: lambda: requests.thread[ref],
            Gap.HOLDER: lambda: holds.thread[requests.hold[ref]],
            Gap.PERCENT: lambda: group.value[mine],
            Gap.HANDOFF: lambda: ref + is_release,
            Gap.LEAVES: lambda: np.maximum(holds.end[ref] - 1, holds.start[ref]),
        }
        return found[gap]().astype(np.int64)

    def _wait(self, at: _Facts) -> Columns:
        return at.lane, at.before, at.blamed >= 0

    def _acquire(self, at: _Facts) -> Columns:
        return at.lane, at.before, self._handed_off[at.ref]

    def _release(self, at: _Facts) -> Columns:
        cause = self._trace.holds.cause[at.ref]
        return at.lane, self._handed_off[at.ref + 1], at.after, cause

    def _drop_request(self, at: _Facts) -> Columns:
        requests = self._trace.drop_requests
        return requests.gil[at.ref], requests.hold[at.ref] >= 0
