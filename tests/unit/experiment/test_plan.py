"""Which legs are run, and in which order."""

from __future__ import annotations

import pytest

from giltrace.experiment import plan
from giltrace.experiment.plan import Leg, Settings
from giltrace.scenarios import leg as leg_module
from giltrace.scenarios import names


def order(legs: list[Leg]) -> list[tuple[object, ...]]:
    """What sets legs apart."""
    return [
        (leg.repeat, leg.switch_interval_s, leg.interpreter, leg.scenario, leg.load, leg.load_kind)
        for leg in legs
    ]


def test_repetitions_are_outermost() -> None:
    """A server is compared with itself of a moment ago, and repetitions are far apart."""
    legs = plan.legs(["a", "b"], ["x"], Settings(), repeats=2)
    assert order(legs) == [
        (1, None, "x", "a", 0, "none"),
        (1, None, "x", "a", 1, "spin"),
        (1, None, "x", "b", 0, "none"),
        (1, None, "x", "b", 1, "spin"),
        (2, None, "x", "a", 0, "none"),
        (2, None, "x", "a", 1, "spin"),
        (2, None, "x", "b", 0, "none"),
        (2, None, "x", "b", 1, "spin"),
    ]


def test_every_combination_once() -> None:
    """What is given twice runs once, and no load is the same for all kinds of it."""
    legs = plan.legs(
        ["a", "a"],
        ["x", "y", "x"],
        Settings(),
        loads=(0, 2, 0),
        load_kinds=("spin", "process", "spin"),
        switch_intervals=(0.001, None),
    )
    assert order(legs) == [
        (1, interval, label, "a", load, kind)
        for interval in (0.001, None)
        for label in ("x", "y")
        for load, kind in ((0, "none"), (2, "spin"), (2, "process"))
    ]


def test_policies_beside_switch_intervals() -> None:
    """Other policies run once, with the first interval, and not for a server that has no GIL."""
    legs = plan.legs(
        ["a", "c-zmq"],
        ["x"],
        Settings(),
        loads=(1,),
        switch_intervals=(None, 0.001),
        policies=("cpython", "auto", "cpython"),
    )
    assert [(leg.scenario, leg.policy, leg.switch_interval_s) for leg in legs] == [
        ("a", "cpython", None),
        ("c-zmq", "cpython", None),
        ("a", "cpython", 0.001),
        ("c-zmq", "cpython", 0.001),
        ("a", "auto", None),
    ]
    names = plan.capture_names(legs)
    assert names[0] == "a-1-spin-5ms-cpython.giltrace" and names[4] == "a-1-spin-5ms-auto.giltrace"


def test_the_servers_of_the_talk_exist() -> None:
    """By default those run that the talk had."""
    assert set(plan.TALK) <= set(names())


def test_arguments_are_those_of_the_leg() -> None:
    """The command line says all there is to say, in words that the leg's process knows."""
    settings = Settings(requests=7, size=9, sleep_ms=0.5, pin=True, time_limit_s=3, unloaded_s=0.25)
    leg = Leg("blocking", "x", 2, "fib", 0.0001, 3, settings, "manual")
    options = vars(leg_module._parser().parse_args(leg.arguments))
    assert options == {
        "name": "blocking",
        "load": 2,
        "load_kind": "fib",
        "requests": 7,
        "size": 9,
        "sleep_ms": 0.5,
        "switch_interval": 0.0001,
        "policy": "manual",
        "pin": True,
        "time_limit": 3.0,
        "unloaded": 0.25,
        "watch_stdin": False,
    }


def test_arguments_without_load() -> None:
    """Without load there is nothing to measure it by."""
    options = vars(leg_module._parser().parse_args(Leg("blocking", "x").arguments))
    assert (0, 0.0, None, False) == (
        options["load"],
        options["unloaded"],
        options["switch_interval"],
        options["pin"],
    )


@pytest.mark.parametrize(
    ("leg", "limit_s"),
    [
        (Leg("a", "x"), 30 + 300 * 0.051),
        (Leg("a", "x", 1, "spin"), 30 + 300 * 0.051),
        (Leg("a", "x", 4, "spin"), 30 + 300 * 0.201),
        (Leg("a", "x", 1, "spin", 0.05), 30 + 300 * 0.501),
        (Leg("a", "x", 1, "spin", 0.0001), 30 + 300 * 0.051),
        (Leg("a", "x", settings=Settings(time_limit_s=2)), 2),
    ],
)
def test_time_limit(leg: Leg, limit_s: float) -> None:
    """Unless it is set, there is time for requests far slower than any convoy makes them."""
    assert limit_s == pytest.approx(leg.limit_s)


def test_estimates_know_what_slows_a_server_down() -> None:
    """The first guess at the time left counts threads and switch intervals, and ends somewhere."""
    alone, loaded = Leg("blocking", "x"), Leg("blocking", "x", 1, "spin")
    assert alone.estimate_s < Leg("blocking", "x", 1, "process").estimate_s < loaded.estimate_s
    assert loaded.estimate_s < Leg("blocking", "x", 2, "spin").estimate_s
    assert loaded.estimate_s < Leg("blocking", "x", 1, "spin", 0.01).estimate_s
    assert Leg("c-zmq", "x", 1, "spin").estimate_s < loaded.estimate_s
    assert Leg("blocking", "x", 9, "spin", 1000.0).estimate_s < 9e6


def test_the_default_takes_less_than_two_minutes() -> None:
    """By its own estimate, with the talk's servers and three repetitions."""
    assert sum(leg.estimate_s for leg in plan.legs(plan.TALK, ["x"], Settings(), repeats=3)) < 120


@pytest.mark.parametrize(
    ("loads", "intervals", "labels", "repeats", "expected"),
    [
        ((0, 1), (None,), ["CPython 3.11.7"], 1, ["a-alone", "a-1-spin"]),
        ((1,), (None, 0.0001), ["x"], 1, ["a-1-spin-5ms", "a-1-spin-100us"]),
        ((1,), (None,), ["x"], 2, ["a-1-spin-1", "a-1-spin-2"]),
        (
            (1,),
            (None,),
            ["CPython 3.13.0t", "PyPy 7.3.11 (3.9.16)", "../../no such\n"],
            1,
            [
                "a-1-spin-cpython-3.13.0t",
                "a-1-spin-pypy-7.3.11--3.9.16",
                "a-1-spin-..-..-no-such",
            ],
        ),
    ],
)
def test_capture_names(
    loads: tuple[int, ...],
    intervals: tuple[float | None, ...],
    labels: list[str],
    repeats: int,
    expected: list[str],
) -> None:
    """A capture is named after its leg, with as much as sets it apart from the others."""
    legs = plan.legs(
        ["a"], labels, Settings(), loads=loads, switch_intervals=intervals, repeats=repeats
    )
    assert [f"{name}.giltrace" for name in expected] == plan.capture_names(legs)


def test_capture_names_differ() -> None:
    """No two legs of a bench share a capture."""
    legs = plan.legs(
        plan.TALK,
        ["CPython 3.11.7", "CPython 3.12.1"],
        Settings(),
        loads=(0, 1, 2),
        load_kinds=("spin", "fib"),
        switch_intervals=(None, 0.001),
        repeats=3,
    )
    assert len(legs) == len(set(plan.capture_names(legs)))
