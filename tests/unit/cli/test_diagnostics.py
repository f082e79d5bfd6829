"""Errors become one line, a hint and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

import click
import pytest

from giltrace.cli import diagnostics
from giltrace.cli.diagnostics import ExitCode
from giltrace.errors import GiltraceError


def raising(error: BaseException) -> Callable[[], NoReturn]:
    """A command that raises ``error``."""

    def command() -> NoReturn:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (GiltraceError("it broke"), 1, "giltrace: it broke\n"),
        (GiltraceError("it broke", "Mend it."), 1, "giltrace: it broke\nhint: Mend it.\n"),
        (GiltraceError("no such program", exit_code=127), 127, "giltrace: no such program\n"),
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.giltrace"),
            1,
            "giltrace: 'a.giltrace': no such file or directory\nhint: Check the path.\n",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "giltrace: cannot write: no space left on device\n"
            "hint: Make room on that disk, or choose another one.\n",
        ),
        (OSError("odd"), 1, "giltrace: odd\n"),
        (
            MemoryError(),
            1,
            "giltrace: not enough memory\nhint: Free some, or work on a shorter recording.\n",
        ),
        (KeyboardInterrupt(), 130, "giltrace: interrupted\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (click.exceptions.Exit(7), 7, ""),
        (click.UsageError("Wrong."), 2, "giltrace: wrong\n"),
    ],
)
def test_error_becomes_a_line_and_a_code(
    error: BaseException, code: int, stderr: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of error has its words and its exit code, and no traceback."""
    assert diagnostics.run(raising(error)) == code
    assert capsys.readouterr() == ("", stderr)


def test_hostile_message_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name with escape sequences or line feeds cannot forge output."""
    diagnostics.error("bad\x1b[2J file\nhint: rm -rf", "do\n\n this")
    expected = "giltrace: bad\\x1b[2J file hint: rm -rf\nhint: do this\n"
    assert capsys.readouterr().err == expected


def test_a_fault_of_our_own_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    """An unforeseen exception keeps its traceback, so that it can be reported."""
    assert diagnostics.run(raising(ZeroDivisionError("x"))) == ExitCode.INTERNAL
    stderr = capsys.readouterr().err
    assert stderr.startswith("Traceback (most recent call last):\n")
    assert stderr.splitlines()[-2] == "giltrace: internal error: ZeroDivisionError: x"


@pytest.mark.parametrize(("result", "code"), [(None, 0), (ExitCode.UNSUPPORTED, 3), (5, 5)])
def test_a_command_can_return_its_code(result: int | None, code: int) -> None:
    """An int is the exit code; anything else is success."""
    assert diagnostics.run(lambda: result) == code


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_only_where_wanted(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets colour unless NO_COLOR is set or it knows none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    diagnostics.error("x")
    assert isinstance(sys.stderr, Terminal)
    assert ("\x1b" in sys.stderr.getvalue()) is coloured


def test_missing_package_is_named() -> None:
    """A command whose package is not installed says which, and how to install it."""
    cause = ModuleNotFoundError("No module named 'textual.app'", name="textual.app")
    error = diagnostics.missing_package("view", cause)
    assert isinstance(error, GiltraceError)
    assert error.message == (
        "'giltrace view' needs the Python package 'textual', which is not installed"
    )
    assert error.hint == "Install it: python -m pip install 'giltrace[tui]'"


def test_missing_module_of_our_own_is_a_fault() -> None:
    """A missing module of giltrace is no advice to install giltrace."""
    cause = ModuleNotFoundError("No module named 'giltrace.x'", name="giltrace.x")
    assert diagnostics.missing_package("x", cause) is cause


GROUP = """
import os, sys
from giltrace.cli.main import cli, COMMANDS, LazyGroup
import click

@click.command()
def greet():
    {body}

LazyGroup.get_command = lambda self, ctx, name: greet
cli.main(["greet"])
"""


def run_body(body: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose body is ``body``, in an interpreter of its own."""
    # Unbuffered output would move the errors from the last flush to the write.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", GROUP.format(body=body)],
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
        **options,
    )


def test_closed_pipe_ends_quietly() -> None:
    """When `head` has seen enough, giltrace stops without a word and with SIGPIPE's code."""
    read, write = os.pipe()
    os.close(read)
    done = run_body("click.echo('x' * 100_000)", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_closed_pipe_seen_only_at_the_end() -> None:
    """The same if the little there is to write stays in the buffer until the end."""
    read, write = os.pipe()
    os.close(read)
    done = run_body("sys.stdout.write('x')", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_full_disk_is_reported() -> None:
    """Output that does not fit is an error, even if it is noticed at the very end."""
    with open("/dev/full", "wb") as full:
        done = run_body("sys.stdout.write('x')", stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        b"giltrace: cannot write to standard output: no space left on device\n"
        b"hint: The output is incomplete: make room and run it again.\n",
    )


def test_closed_stdout_and_stderr_do_not_crash() -> None:
    """With neither stream open the exit code still tells."""
    body = "raise KeyboardInterrupt"
    command = [sys.executable, "-c", GROUP.format(body=body)]
    shell = ["/bin/sh", "-c", '"$@" >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, check=False).returncode == 130


def test_ctrl_c_is_one_line() -> None:
    """SIGINT while a command works ends it with 130 and one line."""
    body = "print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", GROUP.format(body=body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"giltrace: interrupted\n"
