"""What another interpreter is given to run the scenarios with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import giltrace
from giltrace.errors import GiltraceError
from giltrace.experiment import sources


def test_the_copy_is_enough(tmp_path: Path) -> None:
    """A Python without site-packages runs a leg from the copy, its client too."""
    copy = sources.copied(tmp_path)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(copy), "PYTHONNOUSERSITE": "1"}
    words = ["-m", "giltrace.scenarios.leg", "blocking", "--requests", "2"]
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-S", *words],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert '"requests": 2' in done.stdout


def test_the_copy_has_nothing_else(tmp_path: Path) -> None:
    """It must not bring packages of this interpreter, nor the parts that need them."""
    copy = sources.copied(tmp_path)
    assert {"giltrace"} <= {path.name for path in copy.iterdir()} <= {"giltrace", "c_server"}
    parts = {path.name.partition(".")[0] for path in (copy / "giltrace").iterdir()}
    assert parts == {"__init__", "_version", "_core", "errors", "runtime", "scenarios"}


def test_the_copy_is_made_once(tmp_path: Path) -> None:
    """The same sources are the same copy, and nothing half-made lies beside it."""
    first = sources.copied(tmp_path)
    assert first == sources.copied(tmp_path)
    assert [first] == list(tmp_path.iterdir())


def test_other_sources_are_another_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy stands for its content, so that an old one is never run."""
    first = sources.copied(tmp_path / "cache")
    changed = tmp_path / "giltrace"
    (changed / "scenarios").mkdir(parents=True)
    (changed / "errors.py").touch()
    monkeypatch.setattr(giltrace, "__path__", [str(changed)])
    assert first != sources.copied(tmp_path / "cache")


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    """A cache directory that cannot be made is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(GiltraceError) as caught:
        sources.copied(tmp_path / "file" / "cache")
    assert f"cannot write to {tmp_path}/file/cache: Not a directory" == caught.value.message
