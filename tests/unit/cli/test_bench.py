"""`giltrace bench` as a command: what it refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giltrace.cli.main import cli


def bench(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["blokcing"], 1, "there is no scenario named 'blokcing'"),
        (["blocking", "nope"], 1, "there is no scenario named 'nope'"),
        (["--load-kind", "io"], 1, "there is no load of kind 'io'"),
        (["--switch-interval", "5ms,soon"], 2, "'soon' is no switch interval"),
        (["--switch-interval", "0"], 2, "a switch interval of 0 is out of range"),
        (["--plot", "out.gif"], 1, "'out.gif' is neither .svg nor .png"),
        (["--sleep-ms", "nan"], 2, "invalid value for '--sleep-ms': nan is no number"),
        (["--time-limit", "0"], 2, "invalid value for '--time-limit': 0.0 is not in the range"),
        (["--requests", "0"], 2, "invalid value for '--requests': 0 is not in the range"),
        (["--size", "67108865"], 2, "invalid value for '--size': 67108865 is not in the range"),
        (["--load", "1001"], 2, "invalid value for '--load': 1001 is not in the range"),
        (["--repeat", "0"], 2, "invalid value for '--repeat': 0 is not in the range"),
        (["--json", "/no/such/folder/x"], 1, "cannot write '/no/such/folder/x': no such file"),
        (["--ccbench", "blocking"], 2, "--ccbench runs no servers; leave out SCENARIO"),
        (["--ccbench", "--pin"], 2, "--ccbench runs no servers; leave out --pin"),
        (["--ccbench", "--plot", "x.svg"], 2, "--ccbench runs no servers; leave out --plot"),
    ],
)
def test_refused(arguments: list[str], code: int, line: str) -> None:
    """What cannot be done is told at once, in one line and a hint, and nothing runs."""
    done = bench(*arguments)
    assert (code, "") == (done.exit_code, done.stdout)
    assert done.stderr.splitlines()[0].startswith(f"giltrace: {line}")
    assert len(done.stderr.splitlines()) <= 2


def test_files_that_exist_are_kept(tmp_path: Path) -> None:
    """Neither the document, nor the plot, nor a capture is replaced unless that is asked for."""
    for name in ("out.json", "out.svg", "blocking-alone-1.giltrace"):
        (tmp_path / name).write_text("precious")
    for option, value, what in (
        ("--json", "out.json", f"'{tmp_path}/out.json' exists already"),
        ("--plot", "out.svg", f"'{tmp_path}/out.svg' exists already"),
        ("--record", "", f"'{tmp_path}' holds blocking-alone-1.giltrace already"),
    ):
        done = bench("blocking", option, tmp_path / value)
        assert (1, "") == (done.exit_code, done.stdout)
        assert f"giltrace: {what}" == done.stderr.splitlines()[0]
        assert "--force" in done.stderr.splitlines()[1]
    assert {"precious"} == {path.read_text() for path in tmp_path.iterdir()}


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    """A folder in the place of a file is found out before the bench, too."""
    done = bench("--json", tmp_path)
    assert 1 == done.exit_code
    assert f"giltrace: cannot write '{tmp_path}': is a directory" == done.stderr.splitlines()[0]
