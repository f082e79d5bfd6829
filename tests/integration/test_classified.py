"""A workload of known parts: each is named and classified right, and takes the time it took."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import giltrace
from giltrace.analysis.calls import CallRow, Source, table
from giltrace.model import OffKind, Trace
from tests.support.recorder import record, script

PARTS = """
import ctypes, json, os, queue, socket, subprocess, sys, threading, time, zlib

libc = ctypes.CDLL(None)          # lets the GIL go around each call
keeping = ctypes.PyDLL(None)      # does not
libc.usleep.argtypes = keeping.usleep.argtypes = [ctypes.c_uint]

def later(seconds, action, *args):
    thread = threading.Thread(target=lambda: (time.sleep(seconds), action(*args)), name="helper")
    thread.start()
    return thread

def sleeping():
    time.sleep(0.2)

def receiving():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        helper = later(0.2, theirs.send, b"x")
        ours.recv(1)
        helper.join()

def locking():
    lock = threading.Lock()
    lock.acquire()
    helper = later(0.2, lock.release)
    with lock:
        pass
    helper.join()

def queueing():
    items = queue.SimpleQueue()
    helper = later(0.2, items.put, 1)
    items.get()
    helper.join()

def joining():
    later(0.2, int).join()

def reading():
    out, into = os.pipe()
    helper = later(0.2, os.write, into, b"x")
    os.read(out, 1)
    helper.join()

def filing():
    with open(os.devnull, "rb", buffering=0) as file:
        for _ in range(100):
            file.read(1)

def compressing():
    data = os.urandom(1 << 20) * 4
    began = time.thread_time()
    while time.thread_time() - began < 0.2:
        zlib.compress(data)

def computing():
    "As numpy does: native code that lets the GIL go, and that nobody has heard of."
    began = time.thread_time()
    buffer = ctypes.create_string_buffer(1 << 22)
    other = ctypes.create_string_buffer(1 << 22)
    while time.thread_time() - began < 0.2:
        libc.memcmp(buffer, other, 1 << 22)

def foreign():
    "A call that blocks, and that nobody has heard of."
    libc.usleep(200_000)

def holding():
    "It blocks, and keeps the GIL."
    keeping.usleep(200_000)

def waiting():
    subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"], env={})

spent = {}
for part in (sleeping, receiving, locking, queueing, joining, reading, filing, compressing,
             computing, foreign, holding, waiting):
    start = time.monotonic_ns()
    part()
    spent[part.__name__] = [start, time.monotonic_ns()]
print(json.dumps(spent))
"""

# What stands for each part: the call, how it got its name, and what the thread did.
EXPECTED = {
    "sleeping": ("time.sleep", Source.CALL, OffKind.SLEEP),
    "receiving": ("socket.recv", Source.CALL, OffKind.BLOCKED),
    "locking": ("Lock.acquire", Source.CALL, OffKind.LOCK),
    "queueing": ("SimpleQueue.get", Source.CALL, OffKind.LOCK),
    "reading": ("os.read", Source.CALL, OffKind.BLOCKED),
    "compressing": ("zlib.compress", Source.CALL, OffKind.NATIVE),
    "foreign": ("libc.usleep", Source.TEXT, OffKind.BLOCKED),
}


# A listed call says what it is; of this one only the CPU clock tells.
COMPUTING = ("libc.memcmp", Source.TEXT, OffKind.NATIVE)


@dataclass(frozen=True)
class Part:
    """One part of the workload, as recorded.

    Attributes:
        took_ns: how long it took by its own clock.
        rows: what its thread did off the GIL meanwhile, in how many nanoseconds.
        cpu_ns: for how many of these it used a CPU, as far as that is known.
        held_ns: for how long it held the GIL.
        not_running_ns: for how long of that it did not run.
    """

    took_ns: int
    rows: dict[tuple[str, Source, OffKind], int]
    cpu_ns: dict[tuple[str, Source, OffKind], int]
    held_ns: int
    not_running_ns: int


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Part]:
    """The workload, recorded once."""
    folder = tmp_path_factory.mktemp("parts")
    done = record(folder / "out.giltrace", script(folder, PARTS))
    assert done.returncode == 0, done.stderr
    spent = json.loads(done.stdout)
    trace = giltrace.load(folder / "out.giltrace")
    return {name: _part(trace, *window) for name, window in spent.items()}


def _part(trace: Trace, start_ns: int, end_ns: int) -> Part:
    from giltrace.analysis.calls import call_name

    main = next(t.index for t in trace.threads if t.name == "MainThread" and t.process == 0)
    rows: dict[tuple[str, Source, OffKind], int] = {}
    cpu_ns: dict[tuple[str, Source, OffKind], int] = {}
    off = trace.off_gil
    for i in ((off.thread == main) & (off.start >= start_ns) & (off.end <= end_ns)).nonzero()[0]:
        place = int(trace.holds.place[off.hold[i]])
        key = (*call_name(trace, int(off.call[i]), place), OffKind(off.kind[i]))
        rows[key] = rows.get(key, 0) + int(off.end[i] - off.start[i])
        cpu_ns[key] = cpu_ns.get(key, 0) + max(int(off.cpu_ns[i]), 0)
    holds = trace.holds
    mine = (holds.thread == main) & (holds.start < end_ns) & (holds.end > start_ns)
    within = holds.end[mine].clip(max=end_ns) - holds.start[mine].clip(min=start_ns)
    idle = trace.running.not_running_ns[mine].clip(min=0)
    return Part(end_ns - start_ns, rows, cpu_ns, int(within.sum()), int(idle.sum()))


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_part_is_named_and_classified(parts: dict[str, Part], name: str) -> None:
    """The call that makes up the part has its name and kind, and its time within 5 %."""
    part = parts[name]
    ns = part.rows.get(EXPECTED[name], 0)
    # What the part does besides, with the GIL held or in other calls, is not that call's.
    rest_ns = part.held_ns + sum(ns for key, ns in part.rows.items() if key != EXPECTED[name])
    assert ns >= 0.95 * (part.took_ns - rest_ns), part
    assert ns >= 0.5 * part.took_ns, part


def test_computing_without_a_name(parts: dict[str, Part]) -> None:
    """Native code that nobody has listed is told by its CPU time, where the machine gives it any.

    Where the kernel takes the CPU away in the middle of a call for longer than the call computes,
    that call counts as blocked. So it is CPU time that is counted here.
    """
    part = parts["computing"]
    calls = {key: ns for key, ns in part.cpu_ns.items() if key[:2] == COMPUTING[:2]}
    assert sum(calls.values()) >= 0.8 * 200_000_000, part
    assert calls[COMPUTING] >= 0.5 * sum(calls.values()), part
    if sum(part.cpu_ns.values()) >= 0.98 * (part.took_ns - part.held_ns):
        assert part.rows[COMPUTING] >= 0.95 * (part.took_ns - part.held_ns), part


def test_joining_a_thread_is_waiting_for_a_lock(parts: dict[str, Part]) -> None:
    """However the interpreter does it: a lock before CPython 3.13, a handle since."""
    part = parts["joining"]
    ns = sum(ns for (_, _, kind), ns in part.rows.items() if kind is OffKind.LOCK)
    assert ns >= 0.95 * (part.took_ns - part.held_ns), part


def test_a_subprocess_is_waited_for(parts: dict[str, Part]) -> None:
    """subprocess.run() blocks in waitpid, or in the poll that comes before it."""
    part = parts["waiting"]
    ns = sum(
        ns for (call, _, kind), ns in part.rows.items()
        if kind is OffKind.BLOCKED and ("wait" in call or "poll" in call)
    )  # fmt: skip
    assert ns >= 180_000_000, part


def test_reading_a_file_is_io(parts: dict[str, Part]) -> None:
    """However short it is, each read is named."""
    assert ("FileIO.read", Source.CALL, OffKind.BLOCKED) in parts["filing"].rows, parts["filing"]


def test_blocking_with_the_gil_held_shows(parts: dict[str, Part]) -> None:
    """A C call that blocks and keeps the GIL is time held while not running, within 5 %."""
    part = parts["holding"]
    assert part.held_ns >= 200_000_000
    assert part.not_running_ns >= 0.95 * 200_000_000, part


def test_next_to_nothing_is_unknown(parts: dict[str, Part]) -> None:
    """Of all the time off the GIL in all parts, 95 % has a name and 95 % a kind."""
    rows = [(key, ns) for part in parts.values() for key, ns in part.rows.items()]
    total = sum(ns for _, ns in rows)
    named = sum(ns for (_, source, _), ns in rows if source is not Source.NONE)
    known = sum(ns for (_, _, kind), ns in rows if kind is not OffKind.UNKNOWN)
    assert named >= 0.95 * total and known >= 0.95 * total, rows


def test_without_the_call_layer_the_source_names_the_calls(tmp_path: Path) -> None:
    """With --calls off the names come from the source, and the kinds from the CPU clock."""
    code = """
    import socket, threading, time
    time.sleep(0.1)
    ours, theirs = socket.socketpair()
    threading.Timer(0.1, theirs.send, (b"x",)).start()
    ours.recv(1)
    """
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, code), options=("-q", "--calls", "off"))
    assert done.returncode == 0, done.stderr
    rows = _longest(giltrace.load(output))
    assert rows["time.sleep"].kind is OffKind.BLOCKED
    assert rows["ours.recv"].kind is OffKind.BLOCKED
    assert {row.source for row in rows.values()} <= {Source.TEXT, Source.NONE}


def _longest(trace: Trace) -> dict[str, CallRow]:
    """The longest row of each name, of the main thread."""
    found: dict[str, CallRow] = {}
    for row in table(trace):
        if trace.threads[row.thread].name == "MainThread":
            found.setdefault(row.call, row)
    return found


def test_what_descriptors_were(tmp_path: Path) -> None:
    """A socket is known by its two ends, as long as it lives long enough to be looked at."""
    code = """
    import socket, threading, time
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    threading.Timer(0.5, theirs.send, (b"x",)).start()
    ours.recv(1)
    print(ours.getsockname()[1], ours.getpeername()[1])
    """
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, code))
    here, there = done.stdout.split()
    row = _longest(giltrace.load(output))["socket.recv"]
    assert row.descriptors == (f"tcp 127.0.0.1:{here} -> 127.0.0.1:{there}",)


@pytest.mark.parametrize(
    "target",
    [
        ("-m", "coverage", "run", "--data-file=cov"),
        ("-m", "pytest", "-q", "-p", "no:cacheprovider"),
    ],
    ids=["coverage", "pytest"],
)
@pytest.mark.parametrize("level", ["io", "all"])
def test_beside_other_tools(tmp_path: Path, target: tuple[str, ...], level: str) -> None:
    """Coverage and pytest do their work, and ours is done as well."""
    pytest.importorskip(target[1])
    code = """
    import threading, time
    def nap():
        time.sleep(0.05)
    def test_nap():
        thread = threading.Thread(target=nap)
        thread.start()
        thread.join()
        nap()
    if __name__ == "__main__":
        test_nap()
    """
    program = script(tmp_path, code)
    output = tmp_path / "out.giltrace"
    done = record(output, *target, program, options=("-q", "--calls", level))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    trace = giltrace.load(output)
    naps = [row for row in table(trace) if row.call == "time.sleep" and row.off_ns >= 50_000_000]
    assert len({row.thread for row in naps}) == 2
    functions = {trace.places[place].qualname for place in trace.spans.place}
    assert ("nap" in functions) == (level == "all")


def test_asyncio_and_futures(tmp_path: Path) -> None:
    """The loop blocks in its selector; workers of a pool wait for work and do it."""
    code = """
    import asyncio, concurrent.futures, time
    def work():
        time.sleep(0.1)
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(2, "pool") as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, work) for _ in range(2)))
            await asyncio.sleep(0.1)
    asyncio.run(main())
    """
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, code), options=("-q", "--calls", "all"))
    assert done.returncode == 0, done.stderr
    trace = giltrace.load(output)
    rows = table(trace)
    loop = next(row for row in rows if row.call == "select.epoll.poll")
    assert loop.kind is OffKind.BLOCKED and loop.off_ns >= 180_000_000
    workers = {
        trace.threads[row.thread].name for row in rows
        if row.call == "time.sleep" and row.kind is OffKind.SLEEP
    }  # fmt: skip
    assert workers == {"pool_0", "pool_1"}
    assert {"work", "main"} <= {trace.places[place].qualname for place in trace.spans.place}


@pytest.mark.skipif(not os.path.exists("/usr/bin/strace"), reason="there is no strace")
def test_system_calls_agree(tmp_path: Path) -> None:
    """What strace saw of blocking calls is what the recording says, call by call."""
    import re
    import subprocess

    from tests.support.python import environment

    code = """
    import socket, threading, time
    ours, theirs = socket.socketpair()
    def echo():
        while data := theirs.recv(10):
            time.sleep(0.002)
            theirs.send(data)
    threading.Thread(target=echo, name="echo").start()
    for _ in range(50):
        ours.send(b"x"); ours.recv(10)
    ours.close()
    """
    output = tmp_path / "out.giltrace"
    log = tmp_path / "strace"
    words = [
        "strace", "-f", "-qq", "-T", "-e", "trace=recvfrom,sendto,clock_nanosleep", "-o", str(log),
        sys.executable, "-m", "giltrace", "record", "-q", "-o", str(output), script(tmp_path, code),
    ]  # fmt: skip
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    if "ptrace" in done.stderr:
        pytest.skip("no right to trace")
    trace = giltrace.load(output)
    ours: dict[tuple[int, str], int] = {}
    for row in table(trace):
        ours[trace.threads[row.thread].tid, row.call] = row.count
    theirs: dict[tuple[int, str], int] = {}
    names = {"recvfrom": "socket.recv", "sendto": "socket.send", "clock_nanosleep": "time.sleep"}
    for line in log.read_text().splitlines():
        if found := re.match(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed)?.*<[\d.]+>$", line):
            key = int(found[1]), names[found[2]]
            theirs[key] = theirs.get(key, 0) + 1
    for tid in {thread.tid for thread in trace.threads}:
        for call in names.values():
            assert abs(ours.get((tid, call), 0) - theirs.get((tid, call), 0)) <= 1, (ours, theirs)
