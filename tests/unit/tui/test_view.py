"""Going about in a timeline."""

from __future__ import annotations

from giltrace.analysis.timeline.state import State
from giltrace.tui.source import Jump
from giltrace.tui.trace_source import TraceSource
from giltrace.tui.view.view import View
from tests.support import stories
from tests.support.timeline import timeline

MS = 1_000_000
CONVOY = TraceSource(timeline(stories.convoy(30)))
SERVER, SPINNER = 1, 2


def here(view: View | None) -> tuple[str, State, int, int]:
    """Lane, state, start and end (ms) of what is selected."""
    assert view is not None and view.selected is not None
    one = view.selected
    name = CONVOY.lanes[one.lane].label
    return name, one.state, one.start // MS, one.end // MS


def start(lane: int = 0) -> View:
    """All of the recording, at its beginning."""
    return View.of(CONVOY).at_end(first=True).in_lane(lane)


def test_jumps_go_through_one_lane_or_all() -> None:
    """From the GIL's lane all threads count, from a thread's only its own."""
    first = start().jumped(CONVOY, Jump.WAIT, back=False)
    assert here(first) == ("MainThread", State.WAITING, 1, 6)
    assert first is not None
    assert here(first.jumped(CONVOY, Jump.WAIT, back=False)) == ("Thread-1", State.WAITING, 6, 7)
    first = start(SERVER).jumped(CONVOY, Jump.WAIT, back=False)
    assert first is not None
    assert here(first.jumped(CONVOY, Jump.WAIT, back=False)) == (
        "MainThread",
        State.WAITING,
        11,
        16,
    )


def test_jumps_go_back() -> None:
    """As often forward as back is where one was; before the first there is none."""
    view = start(SERVER)
    for _ in range(3):
        moved = view.jumped(CONVOY, Jump.WAIT, back=False)
        assert moved is not None
        view = moved
    for _ in range(2):
        moved = view.jumped(CONVOY, Jump.WAIT, back=True)
        assert moved is not None
        view = moved
    assert here(view)[2] == 1
    assert view.jumped(CONVOY, Jump.WAIT, back=True) is None


def test_each_kind_of_jump() -> None:
    """A hand-off is where a thread got the GIL from another one, a forced switch where one lost it.

    Stalls are those that the findings call so.
    """
    assert here(start().jumped(CONVOY, Jump.HANDOFF, back=False))[:3] == (
        "MainThread",
        State.HOLDING,
        6,
    )
    assert here(start(SPINNER).jumped(CONVOY, Jump.FORCED, back=False))[:3] == (
        "Thread-1",
        State.HOLDING,
        7,
    )
    assert here(start().jumped(CONVOY, Jump.STALL, back=False))[:2] == ("MainThread", State.WAITING)
    longest = start().jumped(CONVOY, Jump.LONGEST, back=False)
    assert here(longest)[2:] == (1, 6)
    assert longest is not None
    assert here(longest.jumped(CONVOY, Jump.LONGEST, back=False))[2:] == (11, 16)


def test_following_the_handoff() -> None:
    """From a wait to the hold that was given up for it, on to who got the GIL, and back again."""
    wait = start(SERVER).jumped(CONVOY, Jump.WAIT, back=False)
    assert wait is not None
    hold = wait.followed(CONVOY)
    assert here(hold) == ("Thread-1", State.HOLDING, 0, 6)
    assert hold is not None and hold.lane == SPINNER
    taken = hold.followed(CONVOY)
    assert here(taken) == ("MainThread", State.HOLDING, 6, 7)
    assert taken is not None
    returned = taken.returned(CONVOY).returned(CONVOY)
    assert here(returned) == here(wait)
    assert returned.lane == SERVER


def test_steps_through_a_lane() -> None:
    """The interval after the selected one, and the one before it."""
    view = start(SERVER).jumped(CONVOY, Jump.WAIT, back=False)
    assert view is not None
    after = view.moved(CONVOY, back=False)
    assert here(after)[1:] == (State.HOLDING, 6, 7)
    assert here(after.moved(CONVOY, back=True)) == here(view)


def test_marks() -> None:
    """Two marks and the time between them; a third one begins anew."""
    view = start().pointed(10 * MS).marked()
    assert view.marked_ns is None
    view = view.pointed(25 * MS).marked()
    assert view.marked_ns == 15 * MS
    assert len(view.marked().marks) == 1
    assert view.unmarked().marks == ()


def test_the_cursor_stays_on_the_screen() -> None:
    """Zooming and panning take it along."""
    view = View.of(CONVOY)
    for moved in (view.zoomed(0.1), view.zoomed(0.1).paged(5), view.zoomed(0.1).stepped(-50)):
        assert moved.viewport.shows(moved.cursor)


def test_growth() -> None:
    """A recording that grows keeps what is selected and where one is."""
    small = TraceSource(timeline(stories.convoy(10)))
    view = View.of(small).jumped(small, Jump.WAIT, back=False)
    assert view is not None
    grown = view.grown(CONVOY)
    assert (grown.selected, grown.viewport.start) == (view.selected, view.viewport.start)
    assert grown.viewport.high == CONVOY.end_ns
