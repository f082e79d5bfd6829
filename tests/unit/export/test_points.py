"""Points: what happens when, in an order that any format can be written in."""

from __future__ import annotations

import pytest

from giltrace.export.points import Kind, turns, utilisation, walk
from giltrace.model.trace import Trace
from tests.support.timeline import timeline


def story(trace: Trace, step: int = 1 << 13) -> list[tuple[int, str, str]]:
    """Each point as time, kind and thread."""
    found = []
    for batch in walk(turns(trace), step=step):
        for ts, kind, ref in zip(
            batch.ts.tolist(), batch.kind.tolist(), batch.ref.tolist(), strict=True
        ):
            table = {
                Kind.WAIT: trace.waits,
                Kind.GIVE_UP: trace.waits,
                Kind.DROP_REQUEST: trace.drop_requests,
            }.get(kind, trace.holds)
            thread = trace.threads[int(table.thread[ref])]  # type: ignore[attr-defined]
            found.append((ts, Kind(kind).name.lower(), thread.name))
    return found


def test_a_handoff_in_order() -> None:
    """At one instant a release comes before the acquire that follows it."""
    trace = timeline("A: hold 0-10ns", "B: wait 4-10ns request@9ns hold 10-12ns")
    assert story(trace) == [
        (0, "acquire", "A"),
        (4, "wait", "B"),
        (9, "drop_request", "B"),
        (10, "release", "A"),
        (10, "acquire", "B"),
        (12, "release", "B"),
    ]


def test_slices_of_no_length_begin_before_they_end() -> None:
    """Holds, waits and stretches off the GIL may all have no length, even at the same instant."""
    trace = timeline("A: hold 5-5ns wait 5-5ns hold 5-5ns wait 5-5ns hold 5-9ns")
    assert [kind for _, kind, _ in story(trace)] == [
        "acquire",
        "release",
        "wait",
        "acquire",
        "release",
        "wait",
        "acquire",
        "release",
    ]


def test_a_wait_in_vain_gives_up() -> None:
    """A wait that leads to no hold has an end of its own."""
    trace = timeline("A: hold 0-10ns", "B: wait 4ns-", "process 200", "C: hold 0-20ns")
    assert (10, "give_up", "B") in story(trace)


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_batches_do_not_matter(step: int) -> None:
    """However the points are cut into batches, they are the same in the same order."""
    trace = timeline(
        "A: hold 0-10ns wait 12-15ns hold 15-15ns hold 15-20ns",
        "B: wait 4-10ns request@9ns hold 10-12ns wait 12-14ns hold 14-15ns",
        "C: wait 15-20ns hold 20-21ns wait 22ns-",
        "D: hold 2-3ns gil=1 hold 10-10ns gil=1 wait 10-12ns gil=1 hold 12-13ns gil=1",
    )
    assert story(trace, step) == story(trace)


def waiters(trace: Trace, step: int) -> list[tuple[int, int]]:
    """Time and number of waiters after each point of one GIL."""
    return [
        (ts, value)
        for batch in walk(turns(trace), step=step)
        for ts, value in zip(batch.ts.tolist(), batch.value.tolist(), strict=True)
    ]


@pytest.mark.parametrize("step", [1, 1000])
def test_waiters_are_counted(step: int) -> None:
    """Waits add one, the acquires they lead to and giving up take one away."""
    trace = timeline(
        "A: hold 0-10ns hold 30-40ns",
        "B: wait 2-10ns hold 10-20ns",
        "C: wait 3-20ns hold 20-25ns wait 31ns-",
    )
    assert waiters(trace, step) == [
        (0, 0),
        (2, 1),
        (3, 2),
        (10, 2),
        (10, 1),
        (20, 1),
        (20, 0),
        (25, 0),
        (30, 0),
        (31, 1),
        (40, 0),
        (40, 0),
    ]


def test_utilisation_in_percent() -> None:
    """Each interval says which part of it the GIL was held, the last one may be shorter."""
    trace = timeline("process 100 end=3500us", "A: hold 0-1.5ms hold 2-2.25ms", "B: hold 3-3.5ms")
    points = [
        (ts, value)
        for batch in walk(utilisation(trace))
        for ts, value in zip(batch.ts.tolist(), batch.value.tolist(), strict=True)
    ]
    assert points == [(0, 100), (1_000_000, 50), (2_000_000, 25), (3_000_000, 100)]


def test_utilisation_has_few_points() -> None:
    """A long trace gets longer intervals, not more."""
    trace = timeline("process 100 end=3600s", "A: hold 0-1800s")
    points = [
        (ts, value)
        for batch in walk(utilisation(trace))
        for ts, value in zip(batch.ts.tolist(), batch.value.tolist(), strict=True)
    ]
    assert len(points) == 1800
    assert points[:900] == [(i * 2_000_000_000, 100) for i in range(900)]
    assert {value for _, value in points[900:]} == {0}


def test_an_empty_trace_has_no_points() -> None:
    """Without events there is nothing to walk through."""
    trace = timeline("process 100 end=2s")
    assert list(walk([*turns(trace), *utilisation(trace)])) == []
