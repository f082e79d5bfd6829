"""`giltrace scenario` as a command; the servers have tests of their own."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

import giltrace.scenarios
from giltrace.cli.main import cli
from giltrace.scenarios import ScenarioError, ScenarioResult, names


def scenario(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["scenario", *arguments])


def result(name: str, load: int, **settings: object) -> ScenarioResult:
    """What a run might give: ten times slower with load."""
    return ScenarioResult(
        scenario=name,
        python="3.11.7",
        implementation="cpython",
        load=load,
        load_kind=str(settings["load_kind"]),
        requests=10,
        size=8192,
        sleep_ms=1.0,
        switch_interval_ns=5_000_000,
        pinned=False,
        seconds=1.0,
        ms_per_request=1.25 * (10 if load else 1),
        p50_ms=0.1,
        p99_ms=0.2,
        max_ms=0.3,
        timed_out=load > 1,
        load_rate=None,
        unloaded_rate=None,
        load_kept=None,
        start_ns=0,
        end_ns=1,
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Runs take no time; these are the ones that were made."""
    made: list[tuple[str, int]] = []

    def run(name: str, *, load: int, **settings: object) -> ScenarioResult:
        made.append((name, load))
        if name == "broken":
            raise ScenarioError("no server", "Build it.")
        return result(name, load, **settings)

    monkeypatch.setattr(giltrace.scenarios, "run", run)
    return made


def test_without_a_name_they_are_listed() -> None:
    """The names, one a line, or as a JSON array."""
    assert scenario().stdout.split() == list(names())
    assert json.loads(scenario("--json").stdout) == list(names())


def test_alone_and_with_one_thread_by_default(calls: list[tuple[str, int]]) -> None:
    """Two runs and how much slower the second was."""
    done = scenario("blocking")
    assert (done.exit_code, done.stderr) == (0, "")
    assert calls == [("blocking", 0), ("blocking", 1)]
    assert done.stdout.splitlines() == [
        "scenario    load  ms/request   p50   p99   max  slow-down",
        "blocking   alone        1.25  0.10  0.20  0.30",
        "blocking  1 spin       12.50  0.10  0.20  0.30      10.0x",
    ]


def test_times_of_a_run_that_was_cut_are_bounds(calls: list[tuple[str, int]]) -> None:
    """After the time limit no number is exact."""
    line = scenario("blocking", "--load", "2").stdout.splitlines()[1]
    assert line.split() == ["blocking", "2", "spin", ">12.50", ">0.10", ">0.20", ">0.30"]
    assert calls == [("blocking", 2)]


def test_all(calls: list[tuple[str, int]]) -> None:
    """`all` is every server."""
    assert scenario("all", "--load", "0").exit_code == 0
    assert [name for name, _load in calls] == list(names())


def test_one_that_cannot_run_does_not_stop_the_others(calls: list[tuple[str, int]]) -> None:
    """Its error is told, the results of the others are shown, and the exit code is 1."""
    done = scenario("broken", "blocking", "--json")
    assert done.exit_code == 1
    assert done.stderr == "giltrace: broken: no server\nhint: Build it.\n"
    assert [run["load"] for run in json.loads(done.stdout)] == [0, 1]
    assert len(calls) == 3


def test_unknown_name() -> None:
    """The real registry knows what there is."""
    done = scenario("nonsense")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("giltrace: nonsense: there is no scenario named 'nonsense'\n")


def test_a_real_run() -> None:
    """One small run of a server that needs nothing but the standard library."""
    done = scenario("blocking", "--load", "0", "--requests", "5", "--sleep-ms", "0", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    (run,) = json.loads(done.stdout)
    assert (run["scenario"], run["load"], run["requests"], run["size"]) == ("blocking", 0, 5, 8192)
