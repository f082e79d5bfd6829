"""The three measures: which are taken, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from giltrace.experiment import ccbench
from giltrace.experiment.ccbench import Measure
from giltrace.experiment.legs import Finished
from giltrace.scenarios import measures as module
from giltrace.scenarios.measures import MEASURES
from giltrace.scenarios.tasks import TASKS


def ran(measure: Measure, **result: Any) -> Finished[Measure]:
    """A measure that was taken."""
    return Finished(measure, {"switch_interval_ns": 5_000_000, **result})


def test_plan() -> None:
    """Without threads there is no throughput, and all tasks are the same."""
    found = ccbench.measures(["x"], [0, 1, 1])
    assert [(m.name, m.task, m.threads) for m in found] == [
        ("throughput", "pidigits", 1),
        ("throughput", "regex", 1),
        ("throughput", "bz2", 1),
        ("latency", "pidigits", 0),
        ("latency", "pidigits", 1),
        ("latency", "regex", 1),
        ("latency", "bz2", 1),
        ("bandwidth", "pidigits", 0),
        ("bandwidth", "pidigits", 1),
        ("bandwidth", "regex", 1),
        ("bandwidth", "bz2", 1),
    ]


def test_repetitions_are_outermost() -> None:
    """As for the servers."""
    found = ccbench.measures(["x", "y"], [0], switch_intervals=(None, 0.001), repeats=2)
    keys = [(m.repeat, m.switch_interval_s, m.interpreter, m.name) for m in found]
    assert keys == [
        (repeat, interval, label, name)
        for repeat in (1, 2)
        for interval in (None, 0.001)
        for label in ("x", "y")
        for name in ("latency", "bandwidth")
    ]


def test_arguments_are_those_of_the_measure() -> None:
    """The command line says all there is to say, in words that its process knows."""
    measure = Measure("latency", "bz2", 2, "x", 0.0001, 3, 0.5)
    options = vars(module._parser().parse_args(measure.arguments))
    assert options == {
        "name": "latency",
        "task": "bz2",
        "threads": 2,
        "seconds": 0.5,
        "switch_interval": 0.0001,
        "watch_stdin": False,
    }
    assert set(MEASURES) == set(ccbench.SECONDS) == set(ccbench.FULL_SECONDS) == set(ccbench.UNITS)


def test_rows() -> None:
    """Medians, compared with one thread or with none, and the longest latency of all."""
    one = Measure("throughput", "bz2", 1, "x")
    two = Measure("throughput", "bz2", 2, "x")
    alone = Measure("latency", TASKS[0], 0, "x")
    beside = Measure("latency", "bz2", 1, "x")
    found = ccbench.rows(
        [
            ran(one, per_s=100.0),
            ran(two, per_s=150.0),
            ran(replace(two, repeat=2), per_s=200.0),
            ran(replace(two, repeat=3), per_s=250.0),
            ran(alone, mean_ms=0.5, max_ms=1.0),
            ran(beside, mean_ms=5.0, max_ms=9.0),
            ran(replace(beside, repeat=2), mean_ms=6.0, max_ms=8.0),
        ]
    )
    assert [(row.value, row.ratio, row.worst) for row in found] == [
        (100.0, 1.0, None),
        (200.0, 2.0, None),
        (0.5, 1.0, 1.0),
        (5.5, 11.0, 9.0),
    ]
    assert {
        "measure": "latency",
        "task": None,
        "threads": 0,
        "interpreter": "x",
        "switch_interval_s": 0.005,
        "policy": "cpython",
        "value": 0.5,
        "unit": "ms",
        "max_ms": 1.0,
        "ratio": 1.0,
        "error": None,
        "repeats": 1,
    } == found[2].to_dict()


def test_a_measure_that_was_not_taken() -> None:
    """A row says why, and is nothing to compare with."""
    base = Measure("bandwidth", TASKS[0], 0, "x")
    other = Measure("bandwidth", "bz2", 1, "x")
    first, second = ccbench.rows([Finished(base, error="lost"), ran(other, per_s=1.0)])
    assert ("lost", None) == (first.error, first.value)
    assert (1.0, None) == (second.value, second.ratio)
