"""`giltrace doctor` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import giltrace.doctor
from giltrace.cli.main import cli
from giltrace.doctor import Check, Status
from tests.support import stories
from tests.support.timeline import write_capture

FOUND = [
    Check("interpreter", Status.OK, "CPython 3.11.7"),
    Check("tap", Status.OK, "works", required=True),
    Check("browser", Status.MISSING, "none \x1b[2J here", "apt-get install chromium"),
]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """The checks that the doctor finds; a test may change the list."""
    checks = list(FOUND)
    monkeypatch.setattr(giltrace.doctor, "examine_machine", lambda: checks)
    return checks


def test_lines(found: list[Check]) -> None:
    """A line for each check: how it ended, what it is, what was found and what to do."""
    result = CliRunner().invoke(cli, ["doctor"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "ok       interpreter      CPython 3.11.7\n"
        "ok       tap              works\n"
        "missing  browser          none \\x1b[2J here. Remedy: apt-get install chromium\n"
    )
    assert len(found) == 3


@pytest.mark.usefixtures("found")
def test_narrow() -> None:
    """On a narrow terminal the details go below."""
    result = CliRunner().invoke(cli, ["doctor"], env={"COLUMNS": "30"})
    assert result.stdout.splitlines()[-3:] == [
        "missing  browser",
        "    none \\x1b[2J here. Remedy:",
        "    apt-get install chromium",
    ]


def test_no_recording_is_exit_code_three(found: list[Check]) -> None:
    """What stops recording stops scripts, too."""
    found.append(Check("shared memory", Status.MISSING, "gone", "mount it", required=True))
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 3
    assert result.stderr == (
        "giltrace: recording cannot work here\nhint: See the lines marked 'missing'.\n"
    )


@pytest.mark.usefixtures("found")
def test_json() -> None:
    """The same for programs."""
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["recording"]) == (0, True)
    assert shown["checks"][2] == {
        "name": "browser",
        "status": "missing",
        "detail": "none \x1b[2J here",
        "remedy": "apt-get install chromium",
        "required": False,
    }


def test_this_machine() -> None:
    """The real checks run here without an exception, each once."""
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code in (0, 3)
    checks = json.loads(result.stdout)["checks"]
    names = [check["name"] for check in checks]
    assert names[:2] == ["interpreter", "tap"]
    assert result.exit_code or "sees the GIL of this interpreter" in checks[1]["detail"]
    assert len(names) == len(set(names))


def test_sound_capture(tmp_path: Path) -> None:
    """A capture that obeys the laws of the GIL passes."""
    capture = write_capture(tmp_path / "x.giltrace", stories.convoy())
    result = CliRunner().invoke(cli, ["doctor", str(capture)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok", "ok", "ok"]


def test_capture_with_losses(tmp_path: Path) -> None:
    """Losses are notes, not failures."""
    capture = write_capture(tmp_path / "x.giltrace", stories.LOST)
    result = CliRunner().invoke(cli, ["doctor", str(capture), "--json"])
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["sound"]) == (0, True)
    assert [check["status"] for check in shown["checks"]] == ["ok", "note", "note", "ok"]


def test_no_capture(tmp_path: Path) -> None:
    """Bad input is one line."""
    result = CliRunner().invoke(cli, ["doctor", str(tmp_path / "x")])
    assert (result.exit_code, result.stderr) == (
        1,
        f"giltrace: {tmp_path / 'x'}: No such file or directory\n",
    )
