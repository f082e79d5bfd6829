"""Running many legs, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol

from giltrace.experiment import legs
from giltrace.experiment.environments import Environment
from giltrace.experiment.legs import AnyJob, Finished


class Watcher(Protocol):
    """Whoever wants to know how it goes."""

    def starts(self, job: Any, left_s: float) -> None:
        """A leg starts; all that is to come will take about so many seconds."""

    def ends(self, finished: Sequence[Finished[Any]]) -> None:
        """A leg has ended, the last of these."""


@dataclass
class Outcome(Generic[AnyJob]):
    """What a bench gave.

    Attributes:
        finished: Its legs in the order they ran.
        interrupted: Ctrl-C ended it before its end.
    """

    finished: list[Finished[AnyJob]] = field(default_factory=list)
    interrupted: bool = False


def run(
    jobs: Sequence[AnyJob],
    environments: Mapping[str, Environment],
    watcher: Watcher,
    *,
    captures: Mapping[AnyJob, Path] | None = None,
    group: Callable[[AnyJob], object] = lambda job: job,
) -> Outcome[AnyJob]:
    """Run all legs, or those until Ctrl-C, which removes the capture of the one under way.

    Args:
        jobs: The legs, in order.
        environments: Of each interpreter, by label.
        watcher: Is told how it goes.
        captures: Where to record each leg; None records none.
        group: What the repetitions of a leg have in common. Once one of them could not run, or
            was cut short by its time limit, the others are left out: they would fare no better.
    """
    outcome: Outcome[AnyJob] = Outcome()
    capture: Path | None = None
    hopeless: set[object] = set()
    known_s: dict[object, float] = {}
    try:
        for number, job in enumerate(jobs):
            if group(job) in hopeless:
                continue
            watcher.starts(job, remaining_s(jobs[number:], known_s, group))
            capture = captures[job] if captures is not None else None
            finished = legs.run(job, environments[job.interpreter], capture)
            outcome.finished.append(finished)
            capture = None
            known_s[group(job)] = finished.elapsed_s
            if finished.error or finished.timed_out:
                hopeless.add(group(job))
            watcher.ends(outcome.finished)
    except KeyboardInterrupt:
        outcome.interrupted = True
        if capture is not None:
            capture.unlink(missing_ok=True)
    return outcome


def remaining_s(
    jobs: Sequence[AnyJob],
    known_s: Mapping[object, float],
    group: Callable[[AnyJob], object] = lambda job: job,
) -> float:
    """Return about how many seconds legs will take.

    Args:
        jobs: The legs still to run.
        known_s: How long earlier repetitions took, by group.
        group: As for `run`.
    """
    return sum(known_s.get(group(job), job.estimate_s) for job in jobs)
