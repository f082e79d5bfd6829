"""``giltrace run`` and the policy options of ``giltrace record``, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from giltrace import load
from tests.support.python import environment

TELL = """
import os, subprocess, sys, threading
import giltrace

def tell():
    print(threading.current_thread().name, giltrace.policy(), giltrace.get_priority(), flush=True)

tell()
for name in "worker-1", "io", "worker-2":
    t = threading.Thread(target=tell, name=name); t.start(); t.join()
threading.current_thread().name = "worker-main"
tell()
threading.current_thread().name = "MainThread"
tell()
if "child" in sys.argv:
    subprocess.run([sys.executable, sys.argv[0]], check=True)
sys.exit(7)
"""


def giltrace(*args: str | Path, code: int = 7) -> subprocess.CompletedProcess[str]:
    """Run the command line; it must end with this exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "giltrace", *map(str, args)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that tells the policy and the priority of each of its threads."""
    path = tmp_path / "program.py"
    path.write_text(TELL, encoding="utf-8")
    return path


def test_auto_is_what_run_does(program: Path) -> None:
    """Without options the policy is auto, nobody has a priority, and the exit code is passed on."""
    done = giltrace("run", program)
    assert done.stderr == ""
    assert {line.partition(" ")[2] for line in done.stdout.splitlines()} == {"auto 0"}


def test_priorities_go_by_the_names_of_threads(program: Path) -> None:
    """As threads start and as they are renamed, the first pattern that matches; children, too."""
    rules = ["--priority", "worker-1=3", "--priority", "worker-*=-1", "--priority", "M*=2"]
    lines = giltrace("run", *rules, program, "child", code=1).stdout.splitlines()
    expected = [
        "MainThread manual 2",
        "worker-1 manual 3",
        "io manual 0",
        "worker-2 manual -1",
        "worker-main manual -1",
        "MainThread manual 2",
    ]
    assert lines == expected * 2


def test_record_takes_the_same_options(program: Path, tmp_path: Path) -> None:
    """The target runs under the policy while it is recorded, and the capture says so."""
    capture = tmp_path / "out.giltrace"
    done = giltrace("record", "-o", capture, "-q", "--priority", "io=-4", program)
    assert "io manual -4" in done.stdout.splitlines()
    assert done.stderr == ""
    options = load(capture).session.options
    assert (options["policy"], options["priorities"]) == ("manual", {"io": -4})
    done = giltrace("record", "-o", capture, "--force", "-q", program)
    assert "io cpython 0" in done.stdout.splitlines()
    assert "policy" not in load(capture).session.options


@pytest.mark.parametrize("rule", ["worker", "=1", "worker=", "worker=1.5", "w=4294967296"])
def test_a_rule_that_is_none_is_refused(program: Path, rule: str) -> None:
    """One line that shows how it is written, before anything is started."""
    done = giltrace("run", "--priority", rule, program, code=2)
    assert done.stdout == "" and "PATTERN=N" in done.stderr
    assert "Traceback" not in done.stderr


def test_cpython_with_priorities_is_refused(program: Path) -> None:
    """Priorities that nobody would look at are a mistake."""
    done = giltrace("run", "--policy", "cpython", "--priority", "a=1", program, code=1)
    assert "--policy manual" in done.stderr


def test_run_says_what_cannot_be_run() -> None:
    """A program that is not there is refused as `record` refuses it."""
    done = giltrace("run", "./no-such-program.py", code=1)
    assert "no-such-program" in done.stderr and "Traceback" not in done.stderr
