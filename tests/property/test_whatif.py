"""A simulation of a GIL gives everyone what they want, one at a time, under any rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.analysis.whatif.play import play
from giltrace.analysis.whatif.predict import AS_RECORDED, remedies
from giltrace.analysis.whatif.terms import Luck, Policy
from giltrace.analysis.whatif.work import workload
from giltrace.model import Trace, build
from tests.support.recording import Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=150)

NUMBERS = st.lists(st.integers(0, 1 << 16), min_size=2, max_size=60)
POLICIES = st.builds(
    Policy,
    st.just("any"),
    switch_interval_ns=st.sampled_from([None, 50_000, 1_000_000, 20_000_000]),
    priorities=st.dictionaries(st.integers(0, 3), st.integers(-1, 2)),
    elsewhere=st.frozensets(st.integers(0, 3), max_size=1),
    gil=st.booleans(),
)


def scheduled(numbers: list[int], threads: int) -> Trace:
    """A trace of one process with one GIL."""
    recording = Recording()
    schedule(recording, numbers, threads=threads, gils=1)
    return build(recording.capture())


@CHECKED
@given(NUMBERS, st.integers(1, 4), POLICIES, st.sampled_from(Luck))
def test_everyone_gets_what_they_want_and_one_at_a_time(
    numbers: list[int], threads: int, policy: Policy, luck: Luck
) -> None:
    """No demand is lost, none is made up, and no two threads hold the GIL at a time."""
    trace = scheduled(numbers, threads)
    if not trace.gils:
        return
    found = replace(workload(trace, 0), victim=-1)
    found = replace(found, works=tuple(replace(work, endless=False) for work in found.works))
    played = play(found, policy, luck=luck, holds=True)
    for work, outcome in zip(found.works, played.threads, strict=True):
        assert (outcome.thread, outcome.phases) == (work.thread, len(work.demand))
        assert outcome.hold_ns == sum(work.demand)
    for (_, start, end), (_, following, _) in pairwise(played.holds):
        assert start <= end <= following


@CHECKED
@given(NUMBERS, st.integers(1, 4))
def test_demands_are_the_holds(numbers: list[int], threads: int) -> None:
    """Over a whole recording each thread wants what it had."""
    trace = scheduled(numbers, threads)
    if not trace.gils:
        return
    found = workload(trace, 0)
    if found.victim >= 0:
        return
    held = np.zeros(len(trace.threads), np.int64)
    np.add.at(held, trace.holds.thread, trace.holds.ns)
    wanted = {work.thread: sum(work.demand) for work in found.works}
    assert wanted == {thread: ns for thread, ns in enumerate(held.tolist()) if thread in wanted}
    assert sum(wanted.values()) == held.sum()


@CHECKED
@given(NUMBERS, st.sampled_from(Luck))
def test_who_is_alone_is_played_as_recorded(numbers: list[int], luck: Luck) -> None:
    """Without contention the recording comes out again, to the nanosecond."""
    trace = scheduled(numbers, 1)
    if not trace.gils:
        return
    found = workload(trace, 0)
    played = play(found, AS_RECORDED, luck=luck, holds=True)
    start = trace.gils[0].start_ns
    rows = zip(trace.holds.start.tolist(), trace.holds.end.tolist(), strict=True)
    recorded = [(0, begin - start, end - start) for begin, end in rows if end > begin]
    assert [hold for hold in played.holds if hold[2] > hold[1]] == recorded


@CHECKED
@given(NUMBERS, st.integers(2, 4))
def test_remedies_make_sense(numbers: list[int], threads: int) -> None:
    """Whatever was recorded, predictions are about the same thread, and lie within their range."""
    found = remedies(scheduled(numbers, threads))
    for prediction in found:
        assert prediction.low_ns <= prediction.cycle_ns <= prediction.high_ns
        assert prediction.recorded_ns == found[0].recorded_ns
        assert prediction.outcome.of(prediction.victim).thread == found[0].victim
        assert prediction.victim not in prediction.hogs
        assert 0 <= prediction.outcome.of(prediction.victim).lost <= 1
        assert prediction.hog_progress >= 0
