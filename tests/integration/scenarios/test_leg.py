"""A leg as a program: one JSON object, and nothing left when it has to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

from giltrace.scenarios import names
from tests.integration.scenarios.conftest import skip_unless_possible
from tests.support.python import environment, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

LEG = [sys.executable, "-m", "giltrace.scenarios.leg"]


def leg(*words: str) -> tuple[int, dict[str, Any]]:
    """Run a leg; return its exit status and what it printed."""
    done = subprocess.run(
        [*LEG, *words], env=environment(), capture_output=True, text=True, check=False
    )
    assert "" == done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_result() -> None:
    """The figures of the run, with its settings."""
    words = ["--requests", "3", "--size", "10", "--sleep-ms", "0", "--switch-interval", "0.001"]
    status, value = leg("blocking", *words)
    assert (0, True) == (status, value["gil"])
    result = value["result"]
    assert ("blocking", 3, 10, 0.0, 1_000_000) == (
        result["scenario"],
        result["requests"],
        result["size"],
        result["sleep_ms"],
        result["switch_interval_ns"],
    )


def test_an_error() -> None:
    """What is wrong and what to do, as data."""
    assert (
        1,
        {
            "error": "there is no load of kind 'io'",
            "hint": "Choose one of: spin, fib, process, native.",
        },
    ) == leg("blocking", "--load-kind", "io")


@pytest.mark.parametrize(
    ("name", "kind"), [(name, "spin") for name in names()] + [("blocking", "process")]
)
def test_no_process_is_left_behind(name: str, kind: str) -> None:
    """When stdin ends, so does the leg: server, client, load and all."""
    skip_unless_possible(name)
    process = psutil.Popen(
        [*LEG, name, "--load", "1", "--load-kind", kind, "--requests", "1000000", "--watch-stdin"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    family: list[psutil.Process] = []
    while len(family) < (2 if name == "c-zmq" or kind == "process" else 1):
        assert process.poll() is None
        family = process.children(recursive=True)
    _, error = process.communicate(timeout=60)
    assert b"" == error
    assert process.returncode < 0
    wait_for(*(member.pid for member in family))


def test_stdin_that_has_ended_before() -> None:
    """A leg that was started by someone who is gone does not begin."""
    with open(os.devnull, "rb") as nothing:
        done = subprocess.run(
            [*LEG, "blocking", "--requests", "1000000", "--watch-stdin"],
            env=environment(),
            stdin=nothing,
            check=False,
        )
    assert 1 == done.returncode
