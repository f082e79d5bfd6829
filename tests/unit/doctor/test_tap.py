"""The trial of the tap, in an interpreter of its own."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from giltrace.doctor import Status, tap


def fake_python(folder: Path, script: str) -> str:
    """A program that stands for an interpreter on which the trial goes wrong."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_tap_works_here() -> None:
    """The interpreter of the tests has a GIL and can be tapped."""
    check = tap.tap()
    assert (check.status, check.required) == (Status.OK, True), check.detail


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("kill -SEGV $$", "the trial died of SIGSEGV"),
        ("echo no module >&2; exit 1", "the trial failed: no module"),
        ("echo nonsense", "the trial failed: "),
        (
            """echo '{"import": "No module named x"}'""",
            "the C extension giltrace._core does not load: No module named x",
        ),
        (
            """echo '{"refused": "statically linked"}'""",
            "the tap refuses this interpreter: statically linked",
        ),
    ],
)
def test_a_trial_that_goes_wrong_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, detail: str
) -> None:
    """A crash, an error and a refusal each become one line; the doctor survives them all."""
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    check = tap.tap()
    assert (check.status, check.required, check.detail) == (Status.MISSING, True, detail)
    assert check.remedy


def test_no_interpreter_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a missing executable is an exception."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert tap.tap().detail.startswith("the trial did not finish: ")


def test_interpreter_without_a_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free-threaded interpreter is told apart from a healthy one."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    check = tap.interpreter()
    assert check.status is Status.NOTE
    assert "runs without a GIL" in check.detail
    assert os.path.basename(sys.executable) in check.detail
