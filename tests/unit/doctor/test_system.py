"""Checks of the machine, against directories and files made for the purpose."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from giltrace.doctor import Check, Status, can_record, packages, system
from tests.support.scheduling import REFUSED, WAKEUPS


def test_shared_memory_that_cannot_be_written_stops_recording(tmp_path: Path) -> None:
    """Without a place for the events nothing can be recorded, and the remedy is at hand."""
    check = system.shared_memory(tmp_path / "missing")
    assert (check.status, check.required) == (Status.MISSING, True)
    assert check.detail == f"cannot write to {tmp_path / 'missing'}: no such file or directory"
    assert "--shm-size" in check.remedy
    assert not can_record([check])


def test_shared_memory_that_can_be_written(tmp_path: Path) -> None:
    """Any directory with room will do, and nothing is left in it."""
    check = system.shared_memory(tmp_path)
    assert can_record([check])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "status"),
    [("tsc", Status.OK), ("kvm-clock", Status.OK), ("hpet", Status.NOTE), ("acpi_pm", Status.NOTE)],
)
def test_clock_source(tmp_path: Path, source: str, status: Status) -> None:
    """Clocks that enter the kernel for each reading are noted as slow."""
    file = tmp_path / "current_clocksource"
    file.write_text(f"{source}\n")
    check = system.clock(file)
    assert check.status is status
    assert check.detail.startswith(f"{source}, ")
    assert can_record([check])


def test_ptrace_scope_of_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may attach unless the kernel forbids it to everybody."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    file = tmp_path / "ptrace_scope"
    found = []
    for scope in "0123":
        file.write_text(scope)
        found.append(system.ptrace_scope(file).status.value)
    assert found == ["ok", "ok", "ok", "note"]


def test_ptrace_scope_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may not unless the scope is 0, or Yama is not there."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    file = tmp_path / "ptrace_scope"
    found = [system.ptrace_scope(file).status.value]
    for scope in "0123":
        file.write_text(scope)
        found.append(system.ptrace_scope(file).status.value)
    assert found == ["ok", "ok", "note", "note", "note"]


def test_no_uprobes(tmp_path: Path) -> None:
    """They are nice to have, for giltrace's developers."""
    check = system.uprobes((tmp_path,))
    assert (check.status, can_record([check])) == (Status.NOTE, True)


def test_scheduling() -> None:
    """Whether the kernel lets it be recorded is found out by asking; nothing else needs it."""
    check = system.scheduling()
    assert (check.status is Status.NOTE) is bool(REFUSED)
    assert REFUSED in check.detail
    assert ("with wake-ups" in check.detail) is WAKEUPS
    assert can_record([check])


def test_no_program_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs that are missing are named with the way to install them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("chromium") is None
    assert packages.browser().remedy == "apt-get install chromium"


def test_a_missing_optional_part_does_not_stop_recording() -> None:
    """Only what is required counts."""
    assert can_record([Check("x", Status.MISSING, "gone")])
    assert not can_record([Check("x", Status.MISSING, "gone", required=True)])
    assert can_record([Check("x", Status.NOTE, "slow", required=True)])
