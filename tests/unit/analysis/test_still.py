"""What threads that live do when nothing has been heard of them for a while."""

from __future__ import annotations

from giltrace.analysis.timeline.state import State
from giltrace.analysis.timeline.steps import steps
from giltrace.analysis.timeline.still import still
from giltrace.model.tables import I8, U1
from tests.support.timeline import timeline

MS = 1_000_000
STORY = """
    process 100 end=20ms
    reads:  hold 0-1ms at s.py:4 in read call call=_socket.socket.recv
    ended:  hold 1-2ms at s.py:9 in end call
    holds:  hold 2-3ms at c.py:1 in crunch check hold 4-20ms at c.py:1 in crunch still
    waits:  hold 3-4ms at s.py:4 in read call call=_socket.socket.recv wait 5ms-
    sleeps: hold 3.5-3.6ms gil=1 at s.py:5 in nap call call=time.sleep
"""


def lane_of(name: str) -> tuple[I8, U1]:
    """Starts and states of a thread's lane if all threads but one live, in ms."""
    trace = timeline(STORY)
    living = [thread.index for thread in trace.threads if thread.name != "ended"]
    found, before = still(steps(trace), trace, living), steps(trace)
    assert len(found) == len(before) and (found.start[found.bounds[1:] - 1] > 0).all()
    thread = next(thread.index for thread in trace.threads if thread.name == name)
    (lane,) = (i for i in range(len(found)) if found.thread[i] == thread)
    mine = slice(int(found.bounds[lane]), int(found.bounds[lane + 1]))
    return found.start[mine], found.state[mine]


def last(name: str) -> tuple[State, int, int] | None:
    """State, start and end (ms) of what is last on record of a thread."""
    start, state = lane_of(name)
    assert state[-1] == State.NONE
    return State(int(state[-2])), round(start[-2] / MS), round(start[-1] / MS)


def test_who_lives_is_where_it_was() -> None:
    """In the call in which it let go, up to the end; whoever ended is not on record any more."""
    assert last("reads") == (State.BLOCKED, 1, 20)
    assert last("sleeps") == (State.SLEEP, 4, 20)
    assert last("ended") == (State.HOLDING, 1, 2)


def test_who_holds_or_waits_does_so() -> None:
    """To the end, as without that."""
    assert last("holds") == (State.HOLDING, 4, 20)
    assert last("waits") == (State.WAITING, 5, 20)


def test_nobody_lives() -> None:
    """Then it is the same."""
    trace = timeline(STORY)
    before = steps(trace)
    assert still(before, trace, ()) is before
