"""Whole runs: a server here, its client in a child process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from giltrace.scenarios import ScenarioError, names, run
from giltrace.scenarios.blocking import BlockingServer
from giltrace.scenarios.load import KINDS
from tests.support.python import environment, run_python

pytestmark = pytest.mark.usefixtures("nothing_left")

CLIENT = "giltrace.scenarios.client"


def a_client_of(process: psutil.Process) -> psutil.Process | None:
    """The client among the children of a process, once there is one."""
    for child in process.children():
        try:
            if CLIENT in child.cmdline():
                return child
        except psutil.Error:
            continue  # it ended meanwhile
    return None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that only waits for its exit status to be fetched does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_beside_a_cpu_thread(name: str, tmp_path: Path) -> None:
    """Every server serves a run to its end, with its load beside it."""
    latencies = tmp_path / "latencies"
    result = run(name, load=1, requests=10, size=100, sleep_ms=0, latencies=latencies)
    assert (name, 1, "spin", 10, 100) == (
        result.scenario,
        result.load,
        result.load_kind,
        result.requests,
        result.size,
    )
    assert not result.timed_out
    assert result.load_rate is not None
    measured_ns = sorted(map(int, latencies.read_text().split()))
    assert 10 == len(measured_ns)
    assert measured_ns[4] / 1e6 == result.p50_ms
    assert measured_ns[-1] / 1e6 == result.max_ms
    assert result.seconds * 1e9 == pytest.approx(result.end_ns - result.start_ns)
    assert sum(measured_ns) <= result.end_ns - result.start_ns


def test_large_messages(name: str) -> None:
    """A message that no socket buffer holds comes back whole."""
    assert 2 == run(name, requests=2, size=4 * 1024 * 1024, sleep_ms=0).requests


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_load(kind: str) -> None:
    """Each kind of load runs beside a server, and what it keeps of its speed is known."""
    result = run("blocking", load=2, load_kind=kind, requests=20, sleep_ms=5, unloaded=0.2)
    assert result.load_rate is not None
    assert result.unloaded_rate is not None
    workers = 1 if kind in ("spin", "fib") else 2
    assert result.load_kept == result.load_rate / (result.unloaded_rate * workers)
    assert result.load_rate > 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_load_beside_the_c_server(kind: str) -> None:
    """The C server runs the talk's threads itself and the controls as the others do."""
    pytest.importorskip("zmq")
    if not (shutil.which("make") and shutil.which("cc")):
        pytest.skip("no C compiler")
    result = run("c-zmq", load=2, load_kind=kind, requests=20, sleep_ms=5, unloaded=0.2)
    assert result.load_rate is not None
    assert result.unloaded_rate is not None
    assert result.load_kept == result.load_rate / (result.unloaded_rate * 2)
    assert result.load_rate > 0


@pytest.mark.parametrize("policy", ["manual", "auto"])
@pytest.mark.parametrize(
    "name", ["python-zmq", "multiprocessing", "blocking", "nonblocking", "keystroke"]
)
def test_no_convoy_under_a_policy(name: str, policy: str) -> None:
    """Beside CPU threads, and with an interval of ten seconds, a server answers at once.

    By hand it is one of them: two are equal, and would keep each other waiting in the middle of
    their start.
    """
    code = """
import sys
import giltrace
from giltrace.scenarios import run
result = run(sys.argv[1], load=1 + (sys.argv[2] == "auto"), requests=30, sleep_ms=0,
             switch_interval=10, time_limit=40, policy=sys.argv[2])
assert not result.timed_out and result.requests == 30
assert giltrace.policy() == "cpython", "for the run only"
"""
    run_python(code, name, policy)


def test_conditions_last_for_the_run_only(tmp_path: Path) -> None:
    """The switch interval and the cores are set for a run and restored after it."""
    interval, cores = sys.getswitchinterval(), os.sched_getaffinity(0)
    result = run("blocking", requests=1, switch_interval=0.001, pin=True)
    assert 1_000_000 == result.switch_interval_ns
    assert result.pinned
    assert (interval, cores) == (sys.getswitchinterval(), os.sched_getaffinity(0))
    with pytest.raises(ScenarioError):
        run("blocking", requests=1, switch_interval=0.001, pin=True, latencies=tmp_path)
    assert (interval, cores) == (sys.getswitchinterval(), os.sched_getaffinity(0))


def test_time_limit(name: str) -> None:
    """A run that takes too long is cut short, and its result says so."""
    result = run(name, requests=2, sleep_ms=60_000, time_limit=0.5)
    assert result.timed_out
    assert 0 == result.requests
    assert result.seconds > 0


def test_a_client_that_fails_after_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that fails makes the run fail, and says why on stderr."""
    with pytest.raises(ScenarioError) as caught:
        run("blocking", requests=1, latencies=tmp_path)
    assert "the client of the scenario failed (exit status 1)" == caught.value.message
    assert f"giltrace: client: cannot write {tmp_path}: Is a directory\n" == capfd.readouterr().err


def test_a_client_that_is_killed(name: str) -> None:
    """A client that dies in mid-run makes the run fail instead of waiting for ever."""

    def kill() -> None:
        while (client := a_client_of(psutil.Process())) is None:
            pass
        client.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ScenarioError) as caught:
        run(name, requests=1_000_000)
    killer.join()
    assert "the client of the scenario failed (killed by signal 9)" == caught.value.message


def test_a_server_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the server reaches the caller; nothing is left behind."""

    def fail(server: BlockingServer) -> None:
        server.accept()[0].close()
        raise RuntimeError("no more")

    monkeypatch.setattr(BlockingServer, "serve", fail)
    with pytest.raises(RuntimeError, match="no more"):
        run("blocking", load=1, load_kind="process", requests=1_000_000, time_limit=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    ("server", "kind", "children"),
    [(server, "spin", 2 if server == "c-zmq" else 1) for server in names()]
    + [("blocking", "process", 2), ("blocking", "fib", 1), ("blocking", "native", 1)],
)
def test_no_process_is_left_behind(
    server: str, kind: str, children: int, number: signal.Signals
) -> None:
    """However a server ends, its client and every other child end with it."""
    if server.endswith("zmq"):
        pytest.importorskip("zmq")
    if server == "c-zmq" and not (shutil.which("make") and shutil.which("cc")):
        pytest.skip("no C compiler")
    code = (
        "import sys; from giltrace.scenarios import run;"
        "run(sys.argv[1], load=1, load_kind=sys.argv[2], requests=1_000_000)"
    )
    process = psutil.Popen(
        [sys.executable, "-c", code, server, kind],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    family: list[psutil.Process] = []
    while len(family) < children or a_client_of(process) is None:
        assert process.poll() is None
        family = process.children(recursive=True)
    process.send_signal(number)
    # All of them write to the same stderr: it ends when the last of them is about to.
    _, error = process.communicate(timeout=60)
    deadline_ns = time.monotonic_ns() + 30_000_000_000
    while any(map(is_alive, family)):
        assert time.monotonic_ns() < deadline_ns, family
    assert -number == process.returncode
    if number != signal.SIGINT:  # Python's own words, which the command line replaces
        assert "" == error
    else:
        assert "KeyboardInterrupt" == error.splitlines()[-1]


def test_the_client_runs_unrecorded() -> None:
    """What would record a Python child is kept from the client."""
    code = """
    import os, sys
    from giltrace.scenarios import children, run
    from giltrace.scenarios.blocking import BlockingServer
    os.environ["GILTRACE_SESSION"] = "x"
    os.environ["PYTHONPATH"] = "theirs"
    seen = {}
    def look(*arguments):
        child = start(*arguments)
        while not seen:  # there is none for a moment while a program begins
            with open(f"/proc/{child.pid}/environ", "rb") as file:
                pairs = file.read().split(b"\\0")
            seen.update(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
        return child
    start, children.start = children.start, look
    run("blocking", requests=1)
    print(b"GILTRACE_SESSION" in seen, b"theirs" in seen[b"PYTHONPATH"].split(b":"))
    """
    assert "False True\n" == run_python(code).stdout


@pytest.mark.parametrize("python", ["python3.9", "python3.12", "python3.13", "pypy3"])
def test_other_interpreters(python: str) -> None:
    """The servers of the standard library run on interpreters that giltrace is not made for."""
    path = shutil.which(python)
    probe = path and subprocess.run([path, "-c", ""], capture_output=True, check=False)
    if not path or not probe or probe.returncode:
        pytest.skip(f"{python} is not installed")
    code = (
        "import json; from giltrace.scenarios import run\n"
        "for name in ('blocking', 'nonblocking', 'asyncio', 'threadpool', 'multiprocessing',\n"
        "             'keystroke'):\n"
        "    result = run(name, load=1, requests=5, sleep_ms=0, time_limit=60)\n"
        "    print(json.dumps(result.to_dict()))\n"
    )
    done = subprocess.run(
        [path, "-W", "error", "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [5] * 6 == [json.loads(line)["requests"] for line in done.stdout.splitlines()]
