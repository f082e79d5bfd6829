"""The registry, the result, and what importing the package costs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from giltrace.scenarios import ScenarioError, ScenarioResult, names, registry, run
from tests.support.python import run_python

SOURCES = sorted(Path(registry.__file__).parent.glob("*.py"))


def test_names() -> None:
    """All servers of the experiment are there, the C server first."""
    assert (
        "c-zmq",
        "python-zmq",
        "multiprocessing",
        "blocking",
        "nonblocking",
        "asyncio",
        "threadpool",
        "keystroke",
    ) == names()


@pytest.mark.parametrize("name", names())
def test_every_entry_is_a_server_of_that_name(name: str) -> None:
    """The registry and the classes agree on names, and each transport has a client."""
    from giltrace.scenarios.transports import TRANSPORTS

    server = registry.get(name)
    assert name == server.name
    assert server.transport in TRANSPORTS


def test_unknown_name() -> None:
    """A server that does not exist is refused with the list of those that do."""
    with pytest.raises(ScenarioError) as caught:
        run("blokcing")
    assert "there is no scenario named 'blokcing'" == caught.value.message
    assert "Choose one of: c-zmq, python-zmq, " in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"load": -1}, "load is -1, outside of 0 to 1000"),
        ({"requests": 0}, "requests is 0, outside of 1 to 1000000000"),
        ({"size": 0}, "size is 0, outside of 1 to 67108864"),
        ({"size": 67_108_865}, "size is 67108865, outside of 1 to 67108864"),
        ({"sleep_ms": -0.5}, "sleep_ms is -0.5, outside of 0 to 3600000"),
        ({"sleep_ms": float("nan")}, "sleep_ms is nan, outside of 0 to 3600000"),
        ({"switch_interval": 0.0}, "switch_interval is 0.0, outside of 1e-06 to 1000"),
        ({"time_limit": 0.0}, "time_limit is 0.0, outside of 0.001 to 1000000"),
        ({"load_kind": "io"}, "there is no load of kind 'io'"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, int], message: str) -> None:
    """Arguments are checked before anything is started."""
    with pytest.raises(ScenarioError) as caught:
        run("blocking", **arguments)  # type: ignore[arg-type]
    assert message == caught.value.message


def test_result_is_json() -> None:
    """A result is a flat object that JSON can hold."""
    result = ScenarioResult(
        scenario="blocking",
        python="3.11.7",
        implementation="cpython",
        load=1,
        load_kind="spin",
        requests=2,
        size=8192,
        sleep_ms=1.0,
        switch_interval_ns=5_000_000,
        pinned=False,
        seconds=0.02,
        ms_per_request=10.0,
        p50_ms=9.0,
        p99_ms=10.0,
        max_ms=10.0,
        timed_out=False,
        load_rate=1e6,
        unloaded_rate=2e6,
        load_kept=0.5,
        start_ns=1,
        end_ns=20_000_001,
    )
    assert result == ScenarioResult(**json.loads(json.dumps(result.to_dict())))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_syntax_of_python_3_9(path: Path) -> None:
    """PyPy 7.3 has to read every module."""
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_importing_costs_little() -> None:
    """The package needs nothing but the standard library until a 0MQ server is used."""
    program = """
    import sys, giltrace.scenarios.run, giltrace.scenarios.transports
    others = {"zmq", "numpy", "click", "rich", "psutil", "textual", "giltrace._core"}
    print(sorted(others & set(sys.modules)))
    """
    assert "[]\n" == run_python(program).stdout


@pytest.mark.parametrize("name", ["python-zmq", "c-zmq"])
def test_without_pyzmq(name: str) -> None:
    """A 0MQ server without pyzmq is a clear error that says what to install."""
    program = """
    import sys
    sys.modules["zmq"] = None
    from giltrace.scenarios import ScenarioError, run
    try:
        run(sys.argv[1])
    except ScenarioError as error:
        print(error.message, error.hint, sep="|")
    """
    message, hint = run_python(program, name).stdout.split("|")
    assert message.startswith("the 0MQ scenarios need pyzmq, which cannot be imported")
    assert "Install it for this interpreter: python -m pip install pyzmq\n" == hint
