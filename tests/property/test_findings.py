"""Findings about any legal schedule: no error, and no wait is counted twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.analysis.findings import registry
from giltrace.analysis.findings.assembly import EVIDENCE, MOST, Found
from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.analysis.findings.overlaps import Parts
from giltrace.analysis.findings.scene import Scene
from giltrace.model import Trace, build
from giltrace.model.tables import I8, Bool
from tests.support.layers import add_calls, add_clocks
from tests.support.recording import Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=150)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Schedules, whole and damaged; short switch intervals let short waits be stalls."""
    recording = Recording()
    for _ in range(draw(st.integers(1, 2))):
        made = schedule(
            recording,
            # Again and again: patterns are what findings are about.
            draw(st.lists(st.integers(0, 1 << 16), max_size=30)) * draw(st.integers(1, 60)),
            threads=draw(st.integers(1, 5)),
            gils=draw(st.integers(1, 2)),
            start=draw(st.sampled_from(["free", "synthetic", "unseen"])),
        )
        interval_ns = draw(st.sampled_from([100_000, 1_000_000, 5_000_000]))
        made.process.info = replace(made.process.info, switch_interval_ns=interval_ns)
        numbers = draw(st.lists(st.integers(0, 1 << 16), max_size=20))
        add_calls(made.process, numbers)
        if draw(st.booleans()):
            add_clocks(made.process, numbers)
        if draw(st.booleans()):
            made.process.lost_events = draw(st.integers(1, 100))
            for number in draw(st.lists(st.integers(0, 1 << 16), max_size=5)):
                if made.process.events:
                    del made.process.events[number % len(made.process.events)]
    return build(recording.capture())


@CHECKED
@given(traces())
def test_findings_are_bounded_by_the_waits(trace: Trace) -> None:
    """What all findings lost together is no more than was waited, GIL by GIL."""
    found = registry.find_all(trace)
    for gil in trace.gils:
        mine = [finding for finding in found if finding.gil == gil.index]
        waited = int(trace.waits.ns[trace.waits_of(gil.index)].sum())
        assert sum(finding.lost_ns for finding in mine) <= waited
        healthy = [finding.kind is Kind.HEALTHY for finding in mine]
        assert healthy in ([], [True]) or not any(healthy)
    for finding in found:
        _is_sound(trace, finding)
    ranks = [(-finding.lost_ns, -finding.shared_ns) for finding in found]
    assert ranks == sorted(ranks)


def _is_sound(trace: Trace, finding: Finding) -> None:
    total = finding.lost_ns + finding.shared_ns
    assert 0 <= finding.confidence <= 1
    assert finding.lost_ns >= 0 and finding.shared_ns >= 0
    assert 0 <= finding.interval_ns + finding.overdue_ns <= total
    assert len(finding.evidence) == len(set(finding.evidence)) <= EVIDENCE
    assert max(len(finding.victims), len(finding.hogs), len(finding.calls)) <= MOST
    assert sum(victim.lost_ns for victim in finding.victims) == total
    assert sum(victim.waits for victim in finding.victims) == finding.waits
    assert sum(hog.lost_ns for hog in finding.hogs) <= total
    assert sum(call.lost_ns for call in finding.calls) <= total
    for hog in finding.hogs:
        assert hog.not_running_ns is None or 0 <= hog.not_running_ns <= hog.hold_ns
        assert sum(place.lost_ns for place in hog.places) <= hog.lost_ns
    for wait in finding.evidence:
        assert trace.waits.gil[wait] == finding.gil
        assert finding.start_ns <= trace.waits.start[wait] <= trace.waits.end[wait]
        assert trace.waits.end[wait] <= finding.end_ns
    assert trace.gils[finding.gil].start_ns <= finding.start_ns <= finding.end_ns


@CHECKED
@given(traces())
def test_each_wait_is_counted_once_at_most(trace: Trace) -> None:
    """A finder counts only waits that are still free, and its loss is that of just those."""
    for scene in _scenes(trace):
        free = np.ones(len(scene.waiter), np.bool_)
        for finder in registry.FINDERS:
            for one in finder(scene, free):
                _is_free(scene, one, free)
                free[one.counted] = False


def _is_free(scene: Scene, one: Found, free: Bool) -> None:
    assert len(np.unique(one.counted)) == len(one.counted)
    assert bool(free[one.counted].all())
    assert int(scene.wait_ns[one.counted].sum()) == one.finding.lost_ns


def _scenes(trace: Trace) -> list[Scene]:
    gils = [gil for gil in trace.gils if trace.holds_of(gil.index) != slice(0, 0)]
    scenes = [Scene(trace, gil) for gil in gils]
    return [scene for scene in scenes if len(scene.holder)]


@CHECKED
@given(traces(), st.integers(0, 1 << 30))
def test_sums_of_overlaps_are_those_of_the_pairs(trace: Trace, number: int) -> None:
    """By wait and by hold, for whole holds and for parts of them, as if pair by pair."""
    for scene in _scenes(trace):
        ns = scene.hold_end - scene.hold_start
        start = scene.hold_start + ns * (number % 4) // 4
        end = scene.hold_end - ns * (number // 4 % 4) // 4
        rows = np.flatnonzero((np.arange(len(scene.waiter)) + number) % 3 > 0)
        on, laid = _pairs(scene, start, end, rows.tolist())
        assert scene.overlaps.on(Parts(start, end), rows).tolist() == on
        assert scene.overlaps.laid(Parts(start, end), rows).tolist() == laid


def _pairs(
    scene: Scene, start: I8, end: I8,
    rows: list[int],
) -> tuple[list[int], list[int]]:  # fmt: skip
    on, laid = [], [0] * len(start)
    for row in rows:
        since, until = int(scene.wait_start[row]), int(scene.wait_end[row])
        of_wait = 0
        for hold in range(len(start)):
            ns = min(int(end[hold]), until) - max(int(start[hold]), since)
            if ns > 0 and end[hold] > start[hold]:
                of_wait += ns
                laid[hold] += ns
        on.append(of_wait)
    return on, laid
