"""The C server as a program, and how it is built."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import giltrace
from giltrace.scenarios import ScenarioError, c_zmq
from giltrace.scenarios.transports import TRANSPORTS

pytest.importorskip("zmq")
if not (shutil.which("make") and shutil.which("cc")):
    pytest.skip("no C compiler", allow_module_level=True)

Start = Callable[..., "subprocess.Popen[str]"]
USAGE = "usage: echo_server [--load N] [--load-kind spin|fib]"


@pytest.fixture(scope="module")
def program(cache: Path) -> Path:
    """The program, built."""
    return c_zmq.build(c_zmq.find_sources(), cache / "giltrace")


@pytest.fixture
def start(program: Path) -> Iterator[Start]:
    """Starts the program with a pipe on each side; ends what is left of it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def endpoint(process: subprocess.Popen[str]) -> str:
    """What it prints first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["spin", "fib"])
def test_a_run(start: Start, kind: str) -> None:
    """It echoes, and gives account of its requests and of each CPU thread at the end."""
    process = start("--load", "2", "--load-kind", kind)
    channel = TRANSPORTS["zmq"](endpoint(process))
    for number in range(1, 6):
        channel.send(bytes(number * 1000))
        assert bytes(number * 1000) == channel.receive()
    channel.send(b"")
    channel.close()
    out, err = process.communicate(timeout=30)
    account = json.loads(out)
    assert (0, "", 5) == (process.returncode, err, account["requests"])
    assert account["seconds"] > 0
    assert 2 == len(account["iterations"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(start: Start, number: signal.Signals) -> None:
    """It ends on a signal with its account and the status that shells use."""
    process = start("--load", "1")
    assert endpoint(process).startswith("tcp://127.0.0.1:")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (128 + number, "") == (process.returncode, err)
    assert {"requests": 0, "seconds": 0.0, "iterations": [0]} == json.loads(out)


def test_the_end_of_stdin_ends_it(start: Start) -> None:
    """It does not outlive whoever holds the other end of its stdin, if told so."""
    process = start("--watch-stdin")
    assert endpoint(process).startswith("tcp://127.0.0.1:")
    out, err = process.communicate(timeout=30)
    assert (1, "", "") == (process.returncode, out, err)


def test_calibration(start: Start) -> None:
    """It can run its CPU threads alone, for a time."""
    process = start("--load", "1", "--calibrate", "0.05")
    out, err = process.communicate(timeout=30)
    account = json.loads(out)
    assert (0, "") == (process.returncode, err)
    assert account["seconds"] >= 0.05
    assert account["iterations"][0] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--load"],
        ["--load", "x"],
        ["--load", "-1"],
        ["--load", "1001"],
        ["--load", "1.5"],
        ["--load", ""],
        ["--load-kind", "sleep"],
        ["--calibrate", "nan"],
        ["--nonsense", "1"],
        ["8080"],
    ],
)
def test_bad_arguments(start: Start, arguments: list[str]) -> None:
    """A command line that makes no sense gets the usage and status 2."""
    process = start(*arguments)
    out, err = process.communicate(timeout=30)
    assert (2, "") == (process.returncode, out)
    assert err.startswith(USAGE)


def test_it_is_built_once(program: Path, cache: Path) -> None:
    """The second time, the program is there already; sources that changed make another."""
    before = program.stat()
    assert program == c_zmq.build(c_zmq.find_sources(), cache / "giltrace")
    assert before.st_mtime_ns == program.stat().st_mtime_ns
    assert [program] == list((cache / "giltrace").iterdir())


def test_it_is_clean_under_more_warnings(tmp_path: Path) -> None:
    """It compiles without a word under stricter warnings than the build asks for."""
    strict = "-O2 -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes"
    for name in ("load.c", "echo_server.c"):
        source = str(c_zmq.find_sources() / name)
        command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *strict.split(), "-c", source]
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "out.o")], capture_output=True, text=True, check=False
        )
        assert (0, "") == (done.returncode, done.stderr)


def test_a_build_that_fails(tmp_path: Path) -> None:
    """What the compiler says reaches the user; nothing half-built stays in the cache."""
    sources = tmp_path / "c_server"
    shutil.copytree(c_zmq.find_sources(), sources)
    (sources / "load.c").write_text("#error out of order\n")
    with pytest.raises(ScenarioError) as caught:
        c_zmq.build(sources, tmp_path / "cache")
    assert caught.value.message.startswith("the C server cannot be built:\n")
    assert "#error out of order" in caught.value.message
    assert [] == list((tmp_path / "cache").iterdir())


def test_no_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no make, the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScenarioError) as caught:
        c_zmq.build(c_zmq.find_sources(), tmp_path / "cache")
    assert "the C server has to be built once, and there is no make" == caught.value.message


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    """A cache directory that cannot be made is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(ScenarioError) as caught:
        c_zmq.build(c_zmq.find_sources(), tmp_path / "file" / "cache")
    where = tmp_path / "file" / "cache"
    assert f"cannot build the C server in {where}: Not a directory" == caught.value.message


def test_no_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the C sources says so."""
    monkeypatch.setattr(giltrace, "__path__", [str(tmp_path / "giltrace")])
    with pytest.raises(ScenarioError) as caught:
        c_zmq.find_sources()
    assert (
        "the sources of the C server (c_server/) are not part of this installation"
        == caught.value.message
    )
