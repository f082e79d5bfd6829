"""`giltrace export` as a command: where the output goes, and that it is whole."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from click.testing import CliRunner, Result

from giltrace.cli.export import default_output
from giltrace.cli.main import cli
from giltrace.errors import GiltraceError
from giltrace.export import registry
from tests.support import stories
from tests.support.timeline import write_capture


def _if_installed(name: str) -> ParameterSet:
    """A format; skipped, and visibly, where the package that it needs is missing."""
    try:
        registry.create(name)
    except GiltraceError as error:
        return pytest.param(name, marks=pytest.mark.skip(reason=error.message))
    return pytest.param(name)


FORMATS = [_if_installed(name) for name in registry.names()]


def export(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The capture of a convoy."""
    return write_capture(tmp_path / "convoy.giltrace", stories.convoy())


@pytest.mark.parametrize("name", FORMATS)
def test_default_output_stands_beside_the_capture(capture: Path, name: str) -> None:
    """The suffix of the format replaces `.giltrace`; stderr says where it is."""
    result = export(capture, "-f", name)
    target = capture.with_suffix(registry.create(name).suffix)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {target}\n")
    assert target.stat().st_size > 0


def test_perfetto_is_the_default_format(capture: Path) -> None:
    """Just `giltrace export FILE` makes what the Perfetto UI opens."""
    assert export(capture).exit_code == 0
    assert capture.with_suffix(registry.create("perfetto").suffix).exists()


@pytest.mark.parametrize(
    ("capture", "output"),
    [("a/run.giltrace", "a/run.x"), ("a/run", "a/run.x"), ("a/run.bin", "a/run.bin.x")],
)
def test_name_of_default_output(capture: str, output: str) -> None:
    """Only the suffix of captures is replaced."""
    assert default_output(Path(capture), ".x") == Path(output)


@pytest.mark.parametrize("name", FORMATS)
def test_stdout_gets_the_same_bytes(capture: Path, tmp_path: Path, name: str) -> None:
    """`-o -` writes to stdout, and says nothing."""
    assert export(capture, "-f", name, "-o", tmp_path / "out").exit_code == 0
    result = export(capture, "-f", name, "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == (tmp_path / "out").read_bytes()


def test_existing_output_needs_force(capture: Path, tmp_path: Path) -> None:
    """What is there stays until --force."""
    target = tmp_path / "out"
    target.write_text("precious")
    result = export(capture, "-o", target)
    assert (result.exit_code, result.stderr) == (
        1,
        f"giltrace: '{target}' exists already\n"
        "hint: Use --force to replace it, or name another output.\n",
    )
    assert target.read_text() == "precious"
    assert export(capture, "-o", target, "--force").exit_code == 0
    assert target.read_bytes() != b"precious"


@pytest.mark.parametrize("link", [False, True])
def test_the_capture_itself_is_never_the_output(capture: Path, tmp_path: Path, link: bool) -> None:
    """Not even with --force, and not through a link."""
    before = capture.read_bytes()
    target = capture
    if link:
        target = tmp_path / "link"
        target.symlink_to(capture)
    result = export(capture, "-o", target, "--force")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"giltrace: '{target}' is the capture itself\n")
    assert capture.read_bytes() == before


def test_unknown_format(capture: Path) -> None:
    """The formats there are, in one line."""
    result = export(capture, "-f", "svg")
    assert result.exit_code == 1
    assert "svg" in result.stderr.splitlines()[0]
    assert "perfetto, chrome, firefox, csv, parquet" in result.stderr.splitlines()[1]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/dev/full", "cannot write '/dev/full': no space left on device"),
        ("/nonexistent/out", "cannot write '/nonexistent/out': no such file or directory"),
        ("/proc/out", "cannot write '/proc/out': no such file or directory"),
        ("/tmp", "cannot write '/tmp': is a directory"),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_output_that_cannot_be_written(capture: Path, name: str, output: str, message: str) -> None:
    """One line says which output, and why not."""
    result = export(capture, "-f", name, "-o", output)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0] == f"giltrace: {message}"


def test_nothing_is_left_behind(capture: Path, tmp_path: Path) -> None:
    """After a failure the directory holds the capture alone."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").mkdir()
    assert export(capture, "-o", folder / "out").exit_code == 1
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_binary_is_kept_from_the_terminal(capture: Path) -> None:
    """A format that would garble a terminal is refused there."""
    command = [sys.executable, "-m", "giltrace", "export", str(capture), "-o", "-"]
    master, terminal = pty.openpty()
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, check=False)
    os.close(terminal)
    os.close(master)
    assert (done.returncode, done.stderr) == (
        1,
        b"giltrace: this format is binary and would garble the terminal\n"
        b"hint: Use -o FILE, or send it to a file or program: -o - > FILE\n",
    )


@pytest.mark.parametrize("name", FORMATS)
def test_closed_pipe_is_quiet(capture: Path, name: str) -> None:
    """A reader that is gone ends the export without a word."""
    command = [sys.executable, "-m", "giltrace", "export", str(capture), "-f", name, "-o", "-"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_notes_go_to_stderr(tmp_path: Path) -> None:
    """What the reader of the export has to know is said, too."""
    capture = write_capture(tmp_path / "lost.giltrace", stories.LOST)
    result = export(capture, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr.startswith("giltrace: warning: pid 100: 17 events lost ")


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("run.json", "chrome"),
        ("run.json.gz", "chrome"),
        ("run.firefox.json", "firefox"),
        ("run.csv", "csv"),
        ("run.pftrace", "perfetto"),
        ("run.perfetto-trace", "perfetto"),
        ("run", "perfetto"),
        ("csv", "perfetto"),
    ],
)
def test_the_name_of_the_output_says_the_format(
    capture: Path, tmp_path: Path, output: str, name: str
) -> None:
    """Without -f the suffix decides; an unknown one means the preferred format."""
    assert export(capture, "-o", tmp_path / output).exit_code == 0
    assert export(capture, "-f", name, "-o", tmp_path / "named").exit_code == 0
    written = (tmp_path / output).read_bytes()
    if output.endswith(".gz"):
        written = gzip.decompress(written)
    assert written == (tmp_path / "named").read_bytes()


def test_compressed_output_is_reproducible(capture: Path, tmp_path: Path) -> None:
    """The same capture makes the same file, whenever and wherever it is made."""
    for name in ("a.json.gz", "b.json.gz"):
        assert export(capture, "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
