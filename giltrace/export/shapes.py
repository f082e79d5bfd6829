"""What points look like: the few facts that decide which slices, arrows and counters to draw.

The points of one kind and shape differ only in some numbers: the time, a place, a count. So an
exporter makes a text once for each shape, with gaps for the numbers; see `assembly`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from giltrace.export.blamed import blamed_holds
from giltrace.export.clocks import clocks
from giltrace.export.grouping import Columns, distinct_rows
from giltrace.export.lanes import Lanes
from giltrace.export.points import Kind, Points
from giltrace.export.states import OFF_STATES, States
from giltrace.model.calls import kinds_of
from giltrace.model.handoffs import handed_off
from giltrace.model.offgil import kind_of
from giltrace.model.tables import I4, I8, U1, Bool

if TYPE_CHECKING:
    from giltrace.model import Trace


class Gap(Enum):
    """A number that is left open in a shape."""

    TIME = auto()
    """When: the time of the point in ns."""
    STEP = auto()
    """The time from the point before it in ns; from the start of the trace for the first one."""
    WAITERS = auto()
    """``WAIT``, ``ACQUIRE``, ``GIVE_UP``: threads that wait from now on."""
    REQUESTS = auto()
    """``WAIT``: drop requests made during it."""
    BLAMED = auto()
    """``WAIT``: the thread that is most to blame for it."""
    PLACE = auto()
    """``RELEASE``: where. ``WAIT``: where the thread to blame released."""
    EXPRESSION = auto()
    """The source text at ``PLACE``."""
    STACK = auto()
    """``RELEASE``: the callers of the place."""
    CLOCK = auto()
    """``ACQUIRE``, ``RELEASE``: the holder's CPU clock in ns."""
    OFF_CLOCK = auto()
    """``WAIT``, ``ACQUIRE``: the same at the end of the stretch off the GIL that ends here."""
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


WITH_TEXT: Final = 2
"""``WaitShape.blame`` and ``ReleaseShape.place`` from which on the source text is known."""
WITH_STACK: Final = 3
"""``ReleaseShape.place`` for which the callers are known, too."""


class WaitShape(NamedTuple):
    """``Kind.WAIT``."""

    lane: int
    before: int
    """A `State`, here and below: of the lane up to this point."""
    off_kind: int
    """An `OffKind`, here and below: what the stretch off the GIL was that ends here."""
    off_clock: int
    """Whether ``Gap.OFF_CLOCK`` is worth showing, here and below."""
    blame: int
    """0 if nobody is to blame, 1 if somebody is, or `WITH_TEXT`."""


class AcquireShape(NamedTuple):
    """``Kind.ACQUIRE``."""

    lane: int
    before: int
    off_kind: int
    off_clock: int
    clock: int
    """Whether ``Gap.CLOCK`` is, at both ends of the hold, here and below."""
    handoff: int
    """Whether a hand-off ends here."""


class ReleaseShape(NamedTuple):
    """``Kind.RELEASE``."""

    lane: int
    handoff: int
    """Whether a hand-off begins here."""
    after: int
    """A `State`: of the lane from now on."""
    clock: int
    off_clock: int
    """Whether it is for what follows."""
    cause: int
    call: int
    """Number of the C call; 0 if there is none, or it is not known."""
    place: int
    """0 if it is not known, 1 if it is, `WITH_TEXT` or `WITH_STACK`."""


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


class FunctionShape(NamedTuple):
    """``Kind.ENTER`` and ``Kind.LEAVE``."""

    thread: int
    place: int
    """Number of the place of the function."""


@dataclass(frozen=True, slots=True)
class Group:
    """The points of one kind in a batch.

    Attributes:
        kind: which.
        here: int64 [n], where they are in the batch.
        ts: int64 [n] ns.
        step: int64 [n] ns, from the point before each in the whole batch.
        ref: int64 [n], see `Kind`.
        value: int64 [n], see `Kind`.
        blamed: int64 [n] for ``Kind.WAIT``: the hold that is most to blame, or -1.
        released: int64 [n], the hold that the lane released last before, or -1.
        shapes: the distinct shapes, all of the type for that kind.
        which: int64 [n], index into ``shapes``.
    """

    kind: Kind
    here: I8
    ts: I8
    step: I8
    ref: I8
    value: I8
    blamed: I8
    released: I8
    shapes: list[Any]
    which: I8


class _Facts(NamedTuple):
    """Points of one kind, as columns: see `Points` and `States.follow`."""

    ts: I8
    ref: I8
    lane: I8
    before: U1
    after: U1
    blamed: I8
    released: I8


class Shapes:
    """Finds the shapes of points, batch by batch in the order of time.

    Attributes:
        last_clock: the highest number that can come into ``Gap.CLOCK`` and ``Gap.OFF_CLOCK``.
    """

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._states = States(trace, lanes)
        self._last_ns = trace.start_ns
        # Whether a hand-off led to each hold from the one before it; one more, for the end.
        self._handed_off = np.zeros(len(trace.holds) + 1, np.bool_)
        self._handed_off[1:-1] = handed_off(trace.holds)
        self._clocks = clocks(trace)
        self.last_clock = self._clocks.last if self._clocks else 0
        self._kinds_of_calls = kinds_of(trace.calls)
        self._has_text = np.array(
            [bool(trace.expressions.of(place).text) for place in trace.places]
        )
        self._kinds: dict[Kind, tuple[Callable[..., Any], Callable[[_Facts], Columns]]] = {
            Kind.WAIT: (WaitShape, self._wait),
            Kind.ACQUIRE: (AcquireShape, self._acquire),
            Kind.RELEASE: (ReleaseShape, self._release),
            Kind.GIVE_UP: (GiveUpShape, lambda at: (at.lane,)),
            Kind.DROP_REQUEST: (DropRequestShape, self._drop_request),
            Kind.UTILISATION: (UtilisationShape, lambda at: (at.ref,)),
            Kind.ENTER: (FunctionShape, self._function),
            Kind.LEAVE: (FunctionShape, self._function),
        }

    def of(self, points: Points) -> Iterator[Group]:
        """The points of a batch, one group for each kind that occurs in it."""
        lane, before, after, released = self._states.follow(points)
        step = np.diff(points.ts, prepend=self._last_ns)
        self._last_ns = int(points.ts[-1])
        for kind, (shape, columns) in self._kinds.items():
            here = np.flatnonzero(points.kind == kind)
            if not len(here):
                continue
            ts, ref, last = points.ts[here], points.ref[here], released[here]
            blamed = blamed_holds(self._trace, ref) if kind is Kind.WAIT else ref
            rows, which = distinct_rows(
                columns(_Facts(ts, ref, lane[here], before[here], after[here], blamed, last))
            )
            shapes = [shape(*row) for row in rows]
            yield Group(
                kind, here, ts, step[here], ref, points.value[here], blamed, last, shapes, which
            )

    def numbers(self, group: Group, gap: Gap, mine: I8) -> I8:
        """What belongs into a gap.

        Args:
            group: of points.
            gap: one that its kind has.
            mine: int64 [m], for which points of the group.
        """
        holds, waits, requests = self._trace.holds, self._trace.waits, self._trace.drop_requests
        ref = group.ref[mine]
        is_release = group.kind is Kind.RELEASE
        found: dict[Gap, Callable[[], npt.NDArray[np.integer[Any]]]] = {
            Gap.TIME: lambda: group.ts[mine],
            Gap.STEP: lambda: group.step[mine],
            Gap.WAITERS: lambda: group.value[mine],
            Gap.REQUESTS: lambda: waits.requests[ref],
            Gap.BLAMED: lambda: holds.thread[group.blamed[mine]],
            Gap.PLACE: lambda: self._places(group, mine),
            Gap.EXPRESSION: lambda: self._places(group, mine),
            Gap.STACK: lambda: holds.stack[ref],
            Gap.CLOCK: lambda: self._clock(ref, is_release=is_release),
            Gap.OFF_CLOCK: lambda: self._off_clock(group, mine),
            Gap.WAITER: lambda: requests.thread[ref],
            Gap.HOLDER: lambda: holds.thread[requests.hold[ref]],
            Gap.PERCENT: lambda: group.value[mine],
            Gap.HANDOFF: lambda: ref + is_release,
            Gap.LEAVES: lambda: np.maximum(holds.end[ref] - 1, holds.start[ref]),
        }
        return found[gap]().astype(np.int64)

    def _places(self, group: Group, mine: I8) -> I4:
        hold = group.blamed[mine] if group.kind is Kind.WAIT else group.ref[mine]
        return self._trace.holds.place[hold]

    def _clock(self, hold: I8, *, is_release: bool) -> I8:
        assert self._clocks is not None
        return self._clocks.at_end(hold) if is_release else self._clocks.at_start(hold)

    def _off_clock(self, group: Group, mine: I8) -> I8:
        assert self._clocks is not None
        hold = group.released[mine]
        lasted = group.ts[mine] - self._trace.holds.end[hold]
        used: I8 = np.minimum(self._clocks.off_ns(hold), lasted)
        return self._clock(hold, is_release=True) + used

    def _wait(self, at: _Facts) -> Columns:
        blame = np.zeros(len(at.blamed), np.int8)
        found = np.flatnonzero(at.blamed >= 0)
        blame[found] = 1 + self._has_text[self._trace.holds.place[at.blamed[found]]]
        return at.lane, at.before, *self._ended(at), blame

    def _acquire(self, at: _Facts) -> Columns:
        known = self._shows(at.ref, "shows_held")
        return at.lane, at.before, *self._ended(at), known, self._handed_off[at.ref]

    def _release(self, at: _Facts) -> Columns:
        holds = self._trace.holds
        place = holds.place[at.ref]
        known = np.where(place > 0, 1 + self._has_text[place], 0)
        known[holds.stack[at.ref] > 0] = WITH_STACK
        off = self._shows(at.ref, "shows_off") & np.isin(at.after, OFF_STATES)
        return (
            *(
                at.lane,
                self._handed_off[at.ref + 1],
                at.after,
                self._shows(at.ref, "shows_held"),
                off,
            ),
            *(holds.cause[at.ref], holds.call[at.ref], known),
        )

    def _drop_request(self, at: _Facts) -> Columns:
        requests = self._trace.drop_requests
        return requests.gil[at.ref], requests.hold[at.ref] >= 0

    def _function(self, at: _Facts) -> Columns:
        return self._trace.spans.thread[at.ref], self._trace.spans.place[at.ref]

    def _ended(self, at: _Facts) -> Columns:
        """What is known of the stretches off the GIL that end at these points."""
        kind = np.zeros(len(at.ref), np.int8)
        known = np.zeros(len(at.ref), np.bool_)
        off = np.flatnonzero(np.isin(at.before, OFF_STATES))
        hold = at.released[off]
        holds = self._trace.holds
        lasted = at.ts[off] - holds.end[hold]
        busy = self._trace.running.off_busy_ns[hold]
        kind[off] = kind_of(self._kinds_of_calls[holds.call[hold]], lasted, busy, holds.cause[hold])
        known[off] = self._shows(hold, "shows_off")
        return kind, known

    def _shows(self, hold: I8, what: Literal["shows_held", "shows_off"]) -> Bool:
        if self._clocks is None:
            return np.zeros(len(hold), np.bool_)
        shows: Bool = getattr(self._clocks, what)(hold)
        return shows
