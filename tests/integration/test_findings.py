"""Findings about real programs: who is the victim of what, and who is to blame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import giltrace
from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.analysis.findings.registry import find_all
from tests.support.recorder import record, script

SAMPLES = Path(__file__).parents[2] / "sample_runs"

# The server, where each of its requests begins, and the calls in which it lets go meanwhile.
SERVERS = {
    "python-zmq": ("zmq.Socket.recv", {"zmq.Socket.recv", "zmq.Socket.send"}),
    "multiprocessing": ("os.read", {"os.read", "os.write"}),
    "blocking": ("socket.recv", {"socket.recv", "socket.sendall"}),
    "nonblocking": ("socket.recv", {"select.epoll.poll", "socket.recv", "socket.send"}),
}


def sample(name: str, load: int) -> dict[str, Any]:
    """The row of a recorded run."""
    document = json.loads((SAMPLES / "captures.json").read_text("utf-8"))
    rows = document["rows"]
    found: dict[str, Any] = next(
        row for row in rows if (row["scenario"], row["load"]) == (name, load)
    )
    return found


def loaded(name: str, load: int) -> giltrace.Trace:
    """The capture of a recorded run."""
    return giltrace.load(SAMPLES / sample(name, load)["legs"][0]["capture"])


def names(trace: giltrace.Trace, threads: list[int]) -> list[str]:
    """The threads' names."""
    return [trace.threads[thread].name for thread in threads]


def of_kind(trace: giltrace.Trace, kind: Kind) -> Finding:
    """The one finding of that kind."""
    (finding,) = (finding for finding in find_all(trace) if finding.kind is kind)
    return finding


@pytest.mark.repo
@pytest.mark.parametrize("server", SERVERS)
def test_the_convoy_of_a_loaded_server(server: str) -> None:
    """Its main thread, behind the spinning line, loses what its client had to wait longer."""
    trace = loaded(server, 1)
    row, alone = sample(server, 1), sample(server, 0)
    finding = find_all(trace)[0]
    victim, hog = finding.victims[0], finding.hogs[0]
    anchor, calls = SERVERS[server]
    assert finding.kind is Kind.CONVOY
    assert names(trace, [victim.thread, hog.thread]) == ["MainThread", "cpu-1"]
    assert trace.places[hog.places[0].place].qualname == "spin"
    assert trace.places[hog.places[0].place].basename == "load.py"
    assert hog.lost_ns >= 0.95 * finding.lost_ns
    assert {call.call for call in finding.calls[: len(calls)]} == calls
    assert finding.interval_ns >= 0.95 * finding.lost_ns
    assert finding.confidence > 0.95
    assert victim.cycle is not None
    assert victim.cycle.call == anchor
    assert abs(victim.cycle.iterations - row["requests"]) <= 0.02 * row["requests"]
    extra_ms = row["ms_per_request"] - alone["ms_per_request"]
    lost_ms = victim.cycle.lost_ns / victim.cycle.iterations / 1e6
    assert abs(lost_ms - extra_ms) <= 0.15 * extra_ms


@pytest.mark.repo
@pytest.mark.parametrize("server", SERVERS)
def test_releases_that_were_not_needed(server: str) -> None:
    """Most stalls of a server follow calls that did not block; their loss is the convoy's."""
    trace = loaded(server, 1)
    convoy, needless = of_kind(trace, Kind.CONVOY), of_kind(trace, Kind.NEEDLESS)
    assert needless.shared_ns >= 0.8 * convoy.lost_ns
    assert needless.lost_ns <= 0.01 * convoy.lost_ns


@pytest.mark.repo
@pytest.mark.parametrize(
    ("server", "load"), [*((server, 0) for server in SERVERS), ("c-zmq", 0), ("c-zmq", 1)]
)
def test_no_convoy_without_a_hog(server: str, load: int) -> None:
    """A server alone, and one that does not hold the GIL, are healthy: hardly any wait at all."""
    (finding,) = find_all(loaded(server, load))
    assert finding.kind is Kind.HEALTHY
    assert finding.health is not None
    assert finding.health.stalls == 0
    assert finding.health.contention < 0.01


@pytest.mark.parametrize(
    "options",
    [("asyncio", "--load", "0"), ("blocking", "--load", "1", "--load-kind", "process")],
    ids=["alone", "process"],
)
def test_a_server_with_a_gil_of_its_own_is_in_no_convoy(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """The one of asyncio alone, and a server beside a process that computes."""
    trace = recorded(tmp_path, "-m", "giltrace", "scenario", *options, "--requests", "100")
    kinds = {finding.kind for finding in find_all(trace)}
    assert kinds
    assert not kinds & {Kind.CONVOY, Kind.EQUALS, Kind.LONG_HOLD, Kind.STARVATION}


def test_a_server_beside_a_thread_is_in_a_convoy(tmp_path: Path) -> None:
    """Recorded here and now: the main thread, behind the thread that spins.

    On a machine that is busy otherwise the kernel may stop that one while it holds the GIL, and
    then that is why its victims wait.
    """
    options = ("blocking", "--load", "1", "--requests", "50")
    trace = recorded(tmp_path, "-m", "giltrace", "scenario", *options)
    found = {finding.kind: finding for finding in find_all(trace)}
    chief = found.get(Kind.CONVOY) or found[Kind.HELD_IDLE]
    victim, hog = chief.victims[0], chief.hogs[0]
    assert names(trace, [victim.thread, hog.thread]) == ["MainThread", "cpu-1"]
    assert trace.places[hog.places[0].place].qualname == "spin"
    if chief.kind is Kind.CONVOY:
        assert {"socket.recv", "socket.sendall"} <= {call.call for call in chief.calls}
        assert victim.cycle is not None
        assert victim.cycle.call == "socket.recv"


THREADS = """
import threading
def work():
    n = 0
    while n < 4_000_000:
        n += 1
pool = [threading.Thread(target=work, name=f"equal_{i}") for i in range(3)]
for thread in pool: thread.start()
for thread in pool: thread.join()
"""

EXECUTOR = """
from concurrent.futures import ThreadPoolExecutor
def work(_):
    n = 0
    while n < 400_000:
        n += 1
with ThreadPoolExecutor(3, "equal") as pool:
    list(pool.map(work, range(30)))
"""


@pytest.mark.parametrize("code", [THREADS, EXECUTOR], ids=["threads", "executor"])
def test_a_pool_that_computes_contends_as_equals(code: str, tmp_path: Path) -> None:
    """Three threads that do nothing but count take turns; that is no convoy.

    On a machine that is busy otherwise the kernel may hold them up, too, and that is told first.
    """
    trace = recorded_code(tmp_path, code)
    found = {finding.kind: finding for finding in find_all(trace)}
    assert Kind.CONVOY not in found
    if Kind.HELD_IDLE not in found:
        assert find_all(trace)[0].kind is Kind.EQUALS
        equals = found[Kind.EQUALS]
        expected = {"equal_0", "equal_1", "equal_2"}
        assert set(names(trace, [victim.thread for victim in equals.victims])) >= expected
        assert set(names(trace, [hog.thread for hog in equals.hogs])) >= expected


def test_c_code_that_keeps_the_gil_is_a_long_hold(tmp_path: Path) -> None:
    """It sleeps with the GIL held: the hold is long, idle, and named by its line."""
    trace = recorded_code(
        tmp_path,
        """
        import ctypes, threading, time
        usleep = ctypes.PyDLL(None).usleep
        def keep():
            for _ in range(10):
                usleep(50_000)
        hog = threading.Thread(target=keep, name="hog")
        hog.start()
        while hog.is_alive(): time.sleep(0.001)
        """,
    )
    finding = find_all(trace)[0]
    (hog,) = finding.hogs[:1]
    assert finding.kind is Kind.LONG_HOLD
    assert names(trace, [finding.victims[0].thread, hog.thread]) == ["MainThread", "hog"]
    assert trace.places[hog.places[0].place].qualname == "keep"
    assert hog.not_running_ns is not None
    assert hog.not_running_ns > 0.9 * hog.hold_ns, "blocked in C code that keeps the GIL"
    idle = of_kind(trace, Kind.HELD_IDLE)
    assert idle.shared_ns > 0.9 * finding.lost_ns


def test_threads_that_pass_a_token_play_ping_pong(tmp_path: Path) -> None:
    """Through two queues, one item at a time."""
    trace = recorded_code(
        tmp_path,
        """
        import queue, threading
        there, back = queue.SimpleQueue(), queue.SimpleQueue()
        def echo():
            while there.get():
                back.put(1)
        other = threading.Thread(target=echo, name="echo")
        other.start()
        for _ in range(5000):
            there.put(1)
            back.get()
        there.put(0)
        other.join()
        """,
    )
    finding = of_kind(trace, Kind.PING_PONG)
    assert finding.alternation is not None
    assert finding.alternation.times > 1000
    assert set(names(trace, [victim.thread for victim in finding.victims])) <= {
        "MainThread", "echo",
    }  # fmt: skip
    assert {call.call for call in finding.calls} >= {"SimpleQueue.get"}


def recorded(folder: Path, *target: str) -> giltrace.Trace:
    """Record a program, and load what was recorded."""
    output = folder / "out.giltrace"
    done = record(output, *target)
    assert done.returncode == 0, done.stderr
    return giltrace.load(output)


def recorded_code(folder: Path, code: str) -> giltrace.Trace:
    """The same of some code."""
    return recorded(folder, script(folder, code))
