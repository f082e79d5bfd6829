"""`giltrace report` as a command: good input, every kind of bad input, closed outputs."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giltrace.cli.main import cli
from giltrace.report.html.page import render as render_page
from giltrace.report.terminal import render
from tests.support import stories
from tests.support.timeline import timeline, write_capture


def report(*arguments: object, **options: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["report", *map(str, arguments)], env=options)


def giltrace(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the real program."""
    command = [sys.executable, "-m", "giltrace", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", "NO_COLOR": "1"}
    settings: dict[str, object] = {"stderr": subprocess.PIPE, "env": environment, **options}
    return subprocess.run(command, check=False, **settings)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The capture of a convoy."""
    return write_capture(tmp_path / "convoy.giltrace", stories.convoy())


def test_report_is_that_of_the_trace(capture: Path) -> None:
    """Without a terminal there is no limit of width; stderr stays empty."""
    result = report(capture, COLUMNS="")
    expected = render(timeline(stories.convoy()), top=10)
    assert (result.exit_code, result.stdout, result.stderr) == (0, expected, "")


def test_columns_and_top_are_honoured(capture: Path) -> None:
    """COLUMNS sets the width where there is no terminal to ask."""
    result = report(capture, "--top", "1", COLUMNS="60")
    assert result.stdout == render(timeline(stories.convoy()), top=1, width=60)


def test_json_is_one_object_on_stdout(capture: Path) -> None:
    """Data only, nothing to strip."""
    result = report(capture, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["gils"][0]["forced"] == 4


def test_damage_is_told_first_and_is_no_failure(tmp_path: Path, capture: Path) -> None:
    """A truncated capture is explained as far as it goes."""
    cut = tmp_path / "cut.giltrace"
    cut.write_bytes(capture.read_bytes()[:-5])
    result = report(cut)
    assert result.exit_code == 0
    assert result.stdout.startswith("The capture is cut off: ")


def test_html_is_written_whole_or_not_at_all(tmp_path: Path, capture: Path) -> None:
    """Stdout stays free; what exists is only replaced when asked to; the capture never is."""
    page = tmp_path / "out.html"
    result = report(capture, "--html", page)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {page}\n")
    assert page.read_text("utf-8") == render_page(timeline(stories.convoy()), top=10)
    again = report(capture, "--html", page)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert report(capture, "--html", page, "--force").exit_code == 0
    itself = report(capture, "--html", capture, "--force")
    assert itself.exit_code == 1
    assert "is the capture itself" in itself.stderr
    assert report(capture).exit_code == 0


def test_html_to_stdout(capture: Path) -> None:
    """For a pipe; UTF-8, whatever the locale."""
    done = giltrace("report", capture, "--html", "-", stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/out.html", "no such file or directory"),
        (".", "is a directory"),
        ("x" * 300, "file name too long"),
    ],
)
def test_html_that_cannot_be_written(
    tmp_path: Path, capture: Path, path: str, message: str
) -> None:
    """One line says what is wrong with the output."""
    result = report(capture, "--html", tmp_path / path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"giltrace: cannot write '{tmp_path / path}': {message}\n")


def test_two_outputs_at_once_are_refused(tmp_path: Path, capture: Path) -> None:
    """JSON or a page, not both."""
    result = report(capture, "--json", "--html", tmp_path / "out.html")
    assert result.exit_code == 2
    assert "choose one" in result.stderr


def test_think_time_narrows_predictions(tmp_path: Path) -> None:
    """What the recording cannot show can be told, in ms."""
    capture = write_capture(tmp_path / "unseen.giltrace", stories.UNSEEN)
    assert "--think-ms MS" in report(capture).stdout
    assert "--think-ms MS" not in report(capture, "--think-ms", "1.5").stdout
    told = json.loads(report(capture, "--json", "--think-ms", "1.5").stdout)
    assert {one["lower_bound"] for one in told["predictions"]} == {False}
    assert report(capture, "--think-ms", "-1").exit_code == 2


def bad_inputs(folder: Path) -> dict[str, tuple[Path, str, str]]:
    """Every kind of bad input: its path, the message without that path, and the hint."""
    (folder / "empty").touch()
    (folder / "text").write_text("Traceback (most recent call last):\n")
    (folder / "newer").write_bytes(struct.pack("<8sHHI", b"\x89GILTRC\n", 2, 0, 0))
    (folder / "header").write_bytes(struct.pack("<8sHHI", b"\x89GILTRC\n", 1, 0, 0))
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    return {
        "missing": (folder / "missing", "No such file or directory", ""),
        "directory": (folder, "not a regular file", "Give the path of a *.giltrace file."),
        "pipe": (folder / "fifo", "not a regular file", "Give the path of a *.giltrace file."),
        "device": (Path("/dev/null"), "not a regular file", "Give the path of a *.giltrace file."),
        "file as directory": (folder / "text" / "x", "Not a directory", ""),
        "loop": (folder / "loop", "Too many levels of symbolic links", ""),
        "empty": (folder / "empty", "", ""),
        "not a capture": (folder / "text", "", ""),
        "newer version": (folder / "newer", "", ""),
        "only a header": (folder / "header", "", ""),
        "long name": (folder / ("x" * 300), "File name too long", ""),
    }


KINDS = [
    "missing",
    "directory",
    "pipe",
    "device",
    "file as directory",
    "loop",
    "empty",
    "not a capture",
    "newer version",
    "only a header",
    "long name",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["report", "export"])
def test_bad_input_is_one_line(tmp_path: Path, kind: str, command: str) -> None:
    """Whatever is wrong with the file, one line says so and which file it is."""
    path, message, hint = bad_inputs(tmp_path)[kind]
    arguments = [command, str(path)] + (["-o", str(tmp_path / "out")] * (command == "export"))
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    first, *rest = result.stderr.splitlines()
    assert first.startswith(f"giltrace: {path}: {message}")
    assert len(first) > len(f"giltrace: {path}: ")
    assert len(rest) <= 1
    assert all(line.startswith("hint: ") for line in rest)
    if hint:
        assert rest == [f"hint: {hint}"]
    assert not (tmp_path / "out").exists()


def test_kinds_are_all_there(tmp_path: Path) -> None:
    """The list above is complete."""
    assert list(bad_inputs(tmp_path)) == KINDS


def test_hostile_file_name(tmp_path: Path) -> None:
    """An escape sequence in the name of a file does not reach the terminal."""
    result = report(tmp_path / "a\x1b[2Jb")
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert r"a\x1b[2Jb: No such file or directory" in result.stderr


def test_closed_pipe_is_quiet(capture: Path) -> None:
    """`giltrace report FILE | head -1` prints one line and nothing on stderr."""
    command = (
        f"'{sys.executable}' -m giltrace report '{capture}' | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    first, status = done.stdout.decode().splitlines()
    assert first.startswith("`app.py` was recorded for 46 ms")
    # Whether head was gone before everything was written is a race that either may win.
    assert status in ("0", "141")
    assert done.stderr == b""


def test_reader_that_never_reads(capture: Path) -> None:
    """If nobody reads at all, the exit code is that of SIGPIPE."""
    read, write = os.pipe()
    os.close(read)
    done = giltrace("report", capture, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_full_disk(capture: Path, options: list[str]) -> None:
    """Output that does not fit is an error."""
    with open("/dev/full", "wb") as full:
        done = giltrace("report", capture, *options, stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        b"giltrace: cannot write to standard output: no space left on device"
    )


def test_closed_stdout(capture: Path) -> None:
    """Started without a stdout, giltrace says so instead of pretending to have reported."""
    shell = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "giltrace", "report", str(capture)]
    done = subprocess.run(shell, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"giltrace: standard output is closed\nhint: ")


def _all_of(master: int) -> bytes:
    """What is written to a terminal until everyone has closed it."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # Linux says so that nobody has it open any more
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_terminal(capture: Path, no_color: str) -> None:
    """A terminal gets lines of its width, and colour unless NO_COLOR says otherwise."""
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 50))
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "giltrace", "report", str(capture), "--top", "1"]
    # A terminal holds a few kB, so somebody has to read meanwhile.
    with subprocess.Popen(
        command, stdout=terminal, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(terminal)
        shown = _all_of(master).decode()
        _, said = process.communicate()
    os.close(master)
    assert (process.returncode, said) == (0, b"")
    assert ("\x1b" in shown) is not bool(no_color)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    paragraph = plain.partition("\r\n\r\n")[0]
    assert 40 < max(map(len, paragraph.split("\r\n"))) <= 50


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_any_encoding_of_stdout(tmp_path: Path, encoding: str) -> None:
    """Characters that stdout cannot encode are replaced; nothing fails."""
    capture = write_capture(
        tmp_path / "日本.giltrace", "日本: hold 0-1us; A: wait 0.5-1us hold 1-2us"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = giltrace("report", capture, stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    unit = "us" if encoding == "ascii" else "µs"
    assert f"recorded for 2 {unit} on" in text
    assert ("日本" in text) is (encoding == "utf-8")
