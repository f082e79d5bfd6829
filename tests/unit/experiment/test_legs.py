"""One leg: what becomes of its process, well-behaved or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from giltrace.experiment import environments, legs, process
from giltrace.experiment.environments import Environment
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import Leg, Settings

OWN = environments.own()
LEG = Leg("blocking", OWN.label, settings=Settings(requests=3, time_limit_s=50))


def fake(tmp_path: Path, code: str) -> Environment:
    """An interpreter whose legs are this code."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport os, sys\n{code}\n")
    path.chmod(0o755)
    return Environment("fake", str(path), os.environ)


def test_a_leg() -> None:
    """Its figures, and that its interpreter has a GIL."""
    finished = legs.run(LEG, OWN)
    assert ("", True, (), 3) == (
        finished.error,
        finished.gil,
        finished.notes,
        finished.result["requests"],
    )
    assert finished.elapsed_s > finished.result["seconds"]


def test_a_leg_that_cannot_run() -> None:
    """What the process says is wrong, and what to do."""
    finished = legs.run(Leg("blocking", "x", 1, "io", settings=LEG.settings), OWN)
    assert ("there is no load of kind 'io'", {}) == (finished.error, finished.result)
    assert "Choose one of: spin, fib, process, native." == finished.hint


@pytest.mark.parametrize(
    ("scenario", "error"), [("blocking", "broken"), ("c-zmq", "broken"), ("python-zmq", "broken")]
)
def test_an_environment_with_a_problem(scenario: str, error: str) -> None:
    """Nothing is started where nothing can run."""
    leg = Leg(scenario, "x")
    assert Finished(leg, error=error) == legs.run(leg, Environment("x", problem="broken"))


def test_an_environment_without_pyzmq() -> None:
    """Only the servers that need pyzmq do not run."""
    environment = Environment("x", OWN.executable, OWN.env, zmq_problem="no pyzmq")
    leg = Leg("c-zmq", "x")
    assert Finished(leg, error="no pyzmq") == legs.run(leg, environment)
    assert "" == legs.run(LEG, environment).error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("", "it ended with status 0 and without a result"),
        ("sys.exit(3)", "it ended with status 3 and without a result"),
        ("print('hello')", "it ended with status 0 and without a result"),
        ("print('[1]')", "it ended with status 0 and without a result"),
        ("os.kill(os.getpid(), 11)", "it was killed by signal 11"),
        ("sys.exit('giltrace: first\\nlast\\x1b[2J')", "last\\x1b[2J"),
        ('print(\'{"error": "because"}\')', "because"),
    ],
)
def test_a_process_without_a_result(tmp_path: Path, code: str, error: str) -> None:
    """Whatever it does instead, there is a reason for the row."""
    finished = legs.run(LEG, fake(tmp_path, code))
    assert (error, {}) == (finished.error, finished.result)


def test_a_process_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg that hangs is ended, and its row says so."""
    monkeypatch.setattr(legs, "_MARGIN_S", 0.5)
    monkeypatch.setattr(process, "_PATIENCE_S", 0.2)
    leg = Leg("blocking", "x", settings=Settings(time_limit_s=0.5))
    finished = legs.run(leg, fake(tmp_path, "while True: pass"))
    assert "it did not end within its 0.5 s and was ended" == finished.error


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    """An interpreter that has vanished since is a reason, too."""
    path = str(tmp_path / "gone")
    assert f"cannot start {path}: No such file or directory" == (
        legs.run(LEG, Environment("x", path, os.environ)).error
    )


def test_words_of_the_server_are_kept(tmp_path: Path) -> None:
    """What a leg that succeeds writes to stderr is in its notes."""
    code = "print('a line\\n', file=sys.stderr); print('{\"result\": {\"seconds\": 1}}')"
    finished = legs.run(LEG, fake(tmp_path, code))
    assert (("a line",), {"seconds": 1}, "") == (finished.notes, finished.result, finished.error)
