"""Child processes: not recorded, and gone when told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import giltrace
from giltrace.scenarios import children
from giltrace.scenarios.errors import ScenarioError

PACKAGE = Path(giltrace.__path__[0]).resolve()


def test_children_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes the recorder reach a child is taken out of its environment; the rest stays."""
    monkeypatch.setenv("GILTRACE_SESSION", "x")
    boot = PACKAGE / "runtime" / "boot"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(boot), "/a", "", "relative", "/b"]))
    environment = children.environment()
    assert "GILTRACE_SESSION" not in environment
    assert f"/a:relative:/b:{PACKAGE.parent}" == environment["PYTHONPATH"]
    assert os.environ["PATH"] == environment["PATH"]


def test_a_directory_beside_the_package_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what lies inside the package is the recorder's."""
    monkeypatch.setenv("PYTHONPATH", f"{PACKAGE.parent}{os.pathsep}{PACKAGE}-plugins")
    parts = children.environment()["PYTHONPATH"].split(os.pathsep)
    assert [str(PACKAGE.parent), f"{PACKAGE}-plugins", str(PACKAGE.parent)] == parts


def test_end_returns_what_was_printed() -> None:
    """A child that is told to stop has its last words heard."""
    program = "import sys; sys.stdin.read(); print('bye')"
    child = children.start([sys.executable, "-c", program])
    assert b"bye\n" == children.end(child)
    assert 0 == child.returncode
    assert b"" == children.end(child)


def test_end_kills_what_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ignores the end of its stdin is killed."""
    monkeypatch.setattr(children, "_PATIENCE_S", 0.05)
    child = children.start([sys.executable, "-c", "import signal; signal.pause()"])
    children.end(child)
    assert -9 == child.returncode


def test_what_cannot_be_started(tmp_path: Path) -> None:
    """A program that is not there is an error that names it."""
    with pytest.raises(ScenarioError) as caught:
        children.start([str(tmp_path / "absent")])
    assert f"cannot start {tmp_path / 'absent'}: No such file or directory" == caught.value.message


def test_an_interpreter_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded interpreter cannot start a client, and says so."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ScenarioError, match="does not know its own path"):
        children.python("giltrace.scenarios.client")


@pytest.mark.parametrize("output", [b"", b"no json", b"[1]", b"\xff"])
def test_parse_refuses_what_is_no_object(output: bytes) -> None:
    """A child that prints anything but a JSON object has no result."""
    with pytest.raises(ScenarioError, match="the client ended without a result"):
        children.parse(output, "the client")


def test_the_end_of_stdin_is_noticed() -> None:
    """A child acts once the pipe from its parent is closed, while busy with something else."""
    program = (
        "import os, signal\n"
        "from giltrace.scenarios.children import when_stdin_ends\n"
        "when_stdin_ends(lambda: os._exit(7))\n"
        "print(flush=True)\n"
        "while True: pass\n"
    )
    child = children.start([sys.executable, "-c", program])
    assert child.stdout is not None
    child.stdout.readline()
    children.end(child)
    assert 7 == child.returncode


def test_ctrl_c_is_for_the_parent_alone() -> None:
    """A child is not in the process group that the terminal signals."""
    child = children.start([sys.executable, "-c", "import os; print(os.getpgrp() == os.getpid())"])
    assert b"True\n" == children.end(child)
    assert isinstance(child, subprocess.Popen)
