"""The three measures, each taken once and briefly."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from giltrace.scenarios import ScenarioError
from giltrace.scenarios.measures import MEASURES, measure
from giltrace.scenarios.tasks import TASKS
from tests.support.python import environment, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MEASURES)
def test_each_measure_beside_each_task(name: str, task: str) -> None:
    """Every measure can be taken beside a thread with every task."""
    result = measure(name, task, 1, 0.2)
    assert (name, task, 1) == (result["measure"], result["task"], result["threads"])
    if name == "latency":
        assert 2 == result["pings"]
        assert 0 < result["p50_ms"] <= result["max_ms"]
        assert result["mean_ms"] <= result["max_ms"]
    else:
        assert result["per_s"] > 0


@pytest.mark.parametrize("name", ["latency", "bandwidth"])
def test_without_threads(name: str) -> None:
    """Latency and bandwidth can be taken with nothing beside them."""
    assert 0 == measure(name, TASKS[0], 0, 0.2)["threads"]


@pytest.mark.parametrize(
    ("name", "task", "threads", "message"),
    [
        ("jitter", "bz2", 1, "there is no measure named 'jitter'"),
        ("latency", "sort", 1, "there is no task named 'sort'"),
        ("latency", "bz2", -1, "threads is -1, outside of 0 to 1000"),
        ("throughput", "bz2", 0, "threads is 0, outside of 1 to 1000"),
        ("bandwidth", "bz2", 1001, "threads is 1001, outside of 0 to 1000"),
    ],
)
def test_arguments_out_of_range(name: str, task: str, threads: int, message: str) -> None:
    """Arguments are checked before anything is started."""
    with pytest.raises(ScenarioError) as caught:
        measure(name, task, threads, 0.1)
    assert message == caught.value.message


def test_as_a_program() -> None:
    """The switch interval is set, and the result is one JSON object."""
    words = ["throughput", "pidigits", "2", "--seconds", "0.1", "--switch-interval", "0.001"]
    done = subprocess.run(
        [sys.executable, "-m", "giltrace.scenarios.measures", *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)["result"]
    assert (1_000_000, 2) == (result["switch_interval_ns"], result["threads"])


@pytest.mark.parametrize("name", MEASURES)
def test_no_process_is_left_behind(name: str) -> None:
    """When stdin ends, so does the program, and with it the process it talks to."""
    words = [name, "pidigits", "1", "--seconds", "1000", "--watch-stdin"]
    process = psutil.Popen(
        [sys.executable, "-m", "giltrace.scenarios.measures", *words],
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    family: list[psutil.Process] = [process]
    while name != "throughput" and len(family) < 2:
        assert process.poll() is None
        family = [process, *process.children()]
    process.communicate(timeout=60)  # the other process writes to the same stderr
    wait_for(*(member.pid for member in family))
