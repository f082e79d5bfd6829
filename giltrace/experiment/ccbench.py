"""What threads cost each other, in three measures; see `giltrace.scenarios.measures`.

After ccbench, which once lay in CPython's Tools.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import CPYTHON
from giltrace.scenarios.measures import MEASURES
from giltrace.scenarios.tasks import TASKS

SECONDS: Final = {"throughput": 1.0, "latency": 2.0, "bandwidth": 1.0}
FULL_SECONDS: Final = {"throughput": 5.0, "latency": 10.0, "bandwidth": 5.0}
UNITS: Final = {"throughput": "steps/s", "latency": "ms", "bandwidth": "round trips/s"}

_START_S: Final = 0.5
_GRACE_S: Final = 30.0


@dataclass(frozen=True)
class Measure:
    """One measure beside threads with one task.

    Attributes:
        name: One of `measures.MEASURES`.
        task: One of `tasks.TASKS`.
        threads: How many threads do it.
        interpreter: Label of the interpreter.
        switch_interval_s: None leaves the interpreter's own.
        repeat: Which repetition this is, from 1.
        seconds: For how long.
    """

    name: str
    task: str
    threads: int
    interpreter: str
    switch_interval_s: float | None = None
    repeat: int = 1
    seconds: float = 1.0

    module: ClassVar[str] = "giltrace.scenarios.measures"
    needs_zmq: ClassVar[bool] = False

    @property
    def policy(self) -> str:
        """Who gets the GIL next: the interpreter has it so."""
        return CPYTHON

    @property
    def group(self) -> Measure:
        """What the repetitions have in common."""
        return replace(self, repeat=1)

    @property
    def base(self) -> Measure:
        """The group that this one is compared with: one thread for throughput, none for others."""
        if self.name == "throughput":
            return replace(self, repeat=1, threads=1)
        return replace(self, repeat=1, threads=0, task=TASKS[0])

    @property
    def limit_s(self) -> float:
        """Seconds it may take; threads that let nobody else run end well before."""
        return self.seconds + 2 * _GRACE_S

    @property
    def estimate_s(self) -> float:
        """Seconds it will about take."""
        return _START_S + self.seconds

    @property
    def arguments(self) -> list[str]:
        """The command line of `module` for it."""
        words = [self.name, self.task, str(self.threads), "--seconds", f"{self.seconds:g}"]
        if self.switch_interval_s is not None:
            words += ["--switch-interval", repr(self.switch_interval_s)]
        return words

    @property
    def words(self) -> list[str]:
        """What a capture of it is named after."""
        return [self.name, self.task, f"{self.threads}-threads"] if self.threads else [self.name]


def measures(
    interpreters: Iterable[str],
    threads: Sequence[int],
    *,
    switch_intervals: Sequence[float | None] = (None,),
    repeats: int = 1,
    full: bool = False,
) -> list[Measure]:
    """Return all measures in the order to take them.

    Throughput needs a thread to be measured; without threads beside it, latency and bandwidth
    are the same for all tasks.
    """
    seconds = FULL_SECONDS if full else SECONDS
    cases = [
        (name, task, count)
        for name in MEASURES
        for count in dict.fromkeys(threads)
        for task in (TASKS if count else TASKS[:1])
        if count or name != "throughput"
    ]
    return [
        Measure(name, task, count, label, interval, repeat, seconds[name])
        for repeat in range(1, repeats + 1)
        for interval in switch_intervals
        for label in dict.fromkeys(interpreters)
        for name, task, count in cases
    ]


@dataclass(frozen=True)
class MeasureRow:
    """All repetitions of one measure.

    Attributes:
        measure: The first of them.
        runs: What became of each.
        value: Their median, in `UNITS`: of the steps or round trips a second, or of the mean
            latencies. None if none ran.
        worst: The longest latency of all, in ms; None for other measures.
        base: ``value`` of what it is compared with; None if that did not run.
    """

    measure: Measure
    runs: tuple[Finished[Measure], ...]
    value: float | None
    worst: float | None = None
    base: float | None = None

    @property
    def ratio(self) -> float | None:
        """``value`` over ``base``."""
        return self.value / self.base if self.value is not None and self.base else None

    @property
    def error(self) -> str:
        """Why there is no value, or empty."""
        return "" if self.value is not None else next((r.error for r in self.runs if r.error), "")

    @property
    def switch_interval_s(self) -> float | None:
        """The switch interval it ran with, in seconds; if it did not run, the one planned."""
        for run in self.runs:
            if run.result:
                return float(run.result["switch_interval_ns"]) / 1e9
        return self.measure.switch_interval_s

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON can hold it."""
        measure = self.measure
        return {
            "measure": measure.name,
            "task": measure.task if measure.threads else None,
            "threads": measure.threads,
            "interpreter": measure.interpreter,
            "switch_interval_s": self.switch_interval_s,
            "policy": CPYTHON,
            "value": self.value,
            "unit": UNITS[measure.name],
            "max_ms": self.worst,
            "ratio": self.ratio,
            "error": self.error or None,
            "repeats": sum(bool(run.result) for run in self.runs),
        }


def rows(finished: Iterable[Finished[Measure]]) -> list[MeasureRow]:
    """Return a row for each group of repetitions, in the order in which they first ran."""
    groups: dict[Measure, list[Finished[Measure]]] = {}
    for run in finished:
        groups.setdefault(run.job.group, []).append(run)
    values = {measure: _value(runs) for measure, runs in groups.items()}
    return [
        MeasureRow(
            measure,
            tuple(runs),
            values[measure],
            max((run.result["max_ms"] for run in runs if "max_ms" in run.result), default=None),
            values.get(measure.base),
        )
        for measure, runs in groups.items()
    ]


def _value(runs: Sequence[Finished[Measure]]) -> float | None:
    results = [run.result for run in runs if run.result]
    if not results:
        return None
    figure = "mean_ms" if runs[0].job.name == "latency" else "per_s"
    return float(statistics.median(result[figure] for result in results))
