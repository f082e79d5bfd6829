"""The loop over the legs, with legs that take no time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from giltrace.experiment import bench, legs, plan
from giltrace.experiment.environments import Environment
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import Leg, Settings

ENVIRONMENTS = {"x": Environment("x", "/x")}
LEGS = plan.legs(["blocking", "c-zmq"], ["x"], Settings(), repeats=2)


class Watcher:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.started: list[Leg] = []
        self.left_s: list[float] = []
        self.finished: list[int] = []

    def starts(self, job: Any, left_s: float) -> None:
        """A leg."""
        self.started.append(job)
        self.left_s.append(left_s)

    def ends(self, finished: Sequence[Finished[Any]]) -> None:
        """All so far."""
        self.finished.append(len(finished))


def run(monkeypatch: pytest.MonkeyPatch, outcomes: dict[Leg, Any]) -> tuple[Any, Watcher]:
    """Run `LEGS`; ``outcomes`` says what becomes of some of them."""

    def fake(job: Leg, environment: Environment, capture: Path | None) -> Finished[Leg]:
        assert environment is ENVIRONMENTS["x"]
        assert capture is None
        outcome = outcomes.get(job, {"timed_out": False})
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, str):
            return Finished(job, error=outcome, elapsed_s=1.0)
        return Finished(job, outcome, elapsed_s=1.0)

    monkeypatch.setattr(legs, "run", fake)
    watcher = Watcher()
    outcome = bench.run(LEGS, ENVIRONMENTS, watcher, group=lambda job: job.group)
    return outcome, watcher


def test_all_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every leg runs once, and the watcher hears of each."""
    outcome, watcher = run(monkeypatch, {})
    assert LEGS == watcher.started == [finished.job for finished in outcome.finished]
    assert list(range(1, 9)) == watcher.finished
    assert not outcome.interrupted


def test_the_time_left_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier repetitions took replaces the first guess."""
    _, watcher = run(monkeypatch, {})
    assert sum(leg.estimate_s for leg in LEGS) == pytest.approx(watcher.left_s[0])
    assert [4.0, 3.0, 2.0, 1.0] == watcher.left_s[4:]


@pytest.mark.parametrize("outcome", ["no compiler", {"timed_out": True}])
def test_what_failed_is_not_repeated(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    """A leg that cannot run, or takes too long, would do so again."""
    _, watcher = run(monkeypatch, {LEGS[2]: outcome})
    assert [leg for leg in LEGS if leg is not LEGS[6]] == watcher.started


def test_an_interruption_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the bench; what was finished stands."""
    outcome, watcher = run(monkeypatch, {LEGS[3]: KeyboardInterrupt()})
    assert LEGS[:3] == [finished.job for finished in outcome.finished]
    assert LEGS[:4] == watcher.started
    assert outcome.interrupted
