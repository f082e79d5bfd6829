"""Findings and predictions as what `json.dumps` takes."""

from __future__ import annotations

import dataclasses
from typing import Any

from giltrace.analysis.findings.finding import Cycle, Finding, Hog, LetGo, Victim
from giltrace.analysis.whatif.predict import Prediction
from giltrace.model import Trace
from giltrace.report.text import unicode
from giltrace.wording.remedies import name_of
from giltrace.wording.results import Results
from giltrace.wording.stories import tell


def findings(results: Results) -> list[dict[str, Any]]:
    """All findings, what lost most time first; in words, too."""
    return [_finding(results, one) for one in results.findings]


def predictions(results: Results) -> list[dict[str, Any]]:
    """What remedies are predicted to do, GIL by GIL; the recording itself, played, is first."""
    return [_prediction(results, one) for some in results.predictions.values() for one in some]


def _finding(results: Results, one: Finding) -> dict[str, Any]:
    trace, story = results.trace, tell(results, one)
    return {
        "kind": one.kind.value,
        **_gil(trace, one.gil),
        "confidence": one.confidence,
        "grounds": dataclasses.asdict(one.grounds),
        "words": dataclasses.asdict(story),
        "threads": one.threads,
        "waits": one.waits,
        "lost_ns": one.lost_ns,
        "shared_ns": one.shared_ns,
        "max_ns": one.max_ns,
        "interval_ns": one.interval_ns,
        "overdue_ns": one.overdue_ns,
        "switch_interval_ns": one.switch_interval_ns,
        "start_ns": one.start_ns,
        "end_ns": one.end_ns,
        "victims": [_victim(results, victim) for victim in one.victims],
        "hogs": [_hog(results, hog) for hog in one.hogs],
        "calls": [_let_go(results, call) for call in one.calls],
        "evidence": [_wait(results, wait) for wait in one.evidence],
        "alternation": one.alternation and dataclasses.asdict(one.alternation),
        "health": one.health and dataclasses.asdict(one.health),
    }


def _gil(trace: Trace, index: int) -> dict[str, Any]:
    gil = trace.gils[index]
    return {"pid": trace.processes[gil.process].pid, "interpreter": gil.interpreter}


def _thread(results: Results, index: int) -> dict[str, Any]:
    return {"thread": results.labels.thread(index), "tid": results.trace.threads[index].tid}


def _victim(results: Results, one: Victim) -> dict[str, Any]:
    return {
        **_thread(results, one.thread),
        "waits": one.waits,
        "lost_ns": one.lost_ns,
        "max_ns": one.max_ns,
        "acquires": one.acquires,
        "cycle": one.cycle and _cycle(results, one.cycle),
    }


def _cycle(results: Results, one: Cycle) -> dict[str, Any]:
    return {
        "call": unicode(one.call) or None,
        "where": results.labels.place(one.place) or None,
        "iterations": one.iterations,
        "waits": one.waits,
        "lost_ns": one.lost_ns,
    }


def _hog(results: Results, one: Hog) -> dict[str, Any]:
    return {
        **_thread(results, one.thread),
        "holds": one.holds,
        "lost_ns": one.lost_ns,
        "hold_ns": one.hold_ns,
        "not_running_ns": one.not_running_ns,
        "preempted_ns": one.preempted_ns,
        "places": [
            {
                "where": results.labels.place(place.place) or None,
                "call": unicode(results.trace.calls[place.call].label) or None,
                "holds": place.holds,
                "lost_ns": place.lost_ns,
            }
            for place in one.places
        ],
    }


def _let_go(results: Results, one: LetGo) -> dict[str, Any]:
    return {
        **_thread(results, one.thread),
        "call": unicode(one.call) or None,
        "named_by": one.source.value,
        "where": results.labels.place(one.place) or None,
        "waits": one.waits,
        "off_ns": one.off_ns,
        "lost_ns": one.lost_ns,
    }


def _wait(results: Results, wait: int) -> dict[str, Any]:
    waits = results.trace.waits
    return {
        **_thread(results, int(waits.thread[wait])),
        "start_ns": int(waits.start[wait]),
        "end_ns": int(waits.end[wait]),
    }


def _prediction(results: Results, one: Prediction) -> dict[str, Any]:
    policy = one.policy
    return {
        **_gil(results.trace, one.gil),
        "policy": policy.name,
        "remedy": name_of(one, results.labels),
        "switch_interval_ns": policy.switch_interval_ns,
        "victim": results.labels.thread(one.victim),
        "hogs": [results.labels.thread(thread) for thread in one.hogs],
        "cycles": one.cycles,
        "recorded_ns": one.recorded_ns,
        "cycle_ns": one.cycle_ns,
        "low_ns": one.low_ns,
        "high_ns": one.high_ns,
        "lower_bound": one.lower_bound,
        "ratio": one.ratio,
        "wait_ns": one.wait_ns,
        "hog_recorded": one.hog_recorded,
        "hog_progress": one.hog_progress,
        "error": one.error,
        "notes": list(one.notes),
    }
