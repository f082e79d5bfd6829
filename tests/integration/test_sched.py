"""`giltrace record --sched` against what the kernel itself knows of the threads."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from giltrace.capture import read
from giltrace.capture.scheduling import TID_SHIFT, WHAT_MASK, What
from giltrace.model import Cause, Scheduled, Trace, check, load
from giltrace.record.scheduling import Scheduling
from tests.support.python import environment, run_python
from tests.support.scheduling import WAKEUPS, needs_scheduling

# Two threads that compute without the GIL, on one CPU, and one that sleeps for most of its life.
# Each says what its own CPU clock has counted from when to when.
THREE = """
import hashlib, json, os, threading, time
cpu = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cpu})
data = bytes(1 << 20)
told = {}
def work(name, step):
    began = time.monotonic_ns(), time.thread_time_ns()
    for _ in range(60):
        step()
    ended = time.thread_time_ns(), time.monotonic_ns()
    told[name] = [began[0], ended[1], ended[0] - began[1]]
steps = {"a": lambda: hashlib.sha256(data), "b": lambda: hashlib.sha256(data)}
steps["sleeper"] = lambda: time.sleep(0.002)
threads = [threading.Thread(target=work, args=one, name=one[0]) for one in steps.items()]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"cpu": cpu, "told": told}))
"""


def record(tmp_path: Path, code: str, *options: str) -> tuple[str, Trace]:
    """Record a program with --sched; returns what it printed, and the trace."""
    (tmp_path / "program.py").write_text(textwrap.dedent(code))
    output = tmp_path / "out.giltrace"
    command = [sys.executable, "-m", "giltrace", "record", "-q", "--sched", "--force", *options]
    done = subprocess.run(
        [*command, "-o", str(output), str(tmp_path / "program.py")],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    trace = load(output)
    assert check(trace) == []
    return done.stdout, trace


def named(trace: Trace, name: str) -> int:
    """The index of the thread with this name."""
    return next(thread.index for thread in trace.threads if thread.name == name)


def total(trace: Trace, thread: int, state: Scheduled) -> int:
    """How long a thread was in a state."""
    rows = trace.scheduling
    return int(rows.ns[(rows.thread == thread) & (rows.state == state)].sum())


def within(trace: Trace, thread: int, since: int, until: int) -> int:
    """How long a thread was on a CPU between two times."""
    rows = trace.scheduling
    mine = (rows.thread == thread) & (rows.state == Scheduled.ON_CPU)
    overlap = np.minimum(rows.end, until) - np.maximum(rows.start, since)
    return int(np.maximum(overlap, 0)[mine].sum())


@needs_scheduling
def test_time_on_a_cpu_is_what_the_threads_clocks_say(tmp_path: Path) -> None:
    """Those that compute have had a CPU for as long as they say; the sleeper hardly ever."""
    printed, trace = record(tmp_path, THREE)
    told = json.loads(printed)["told"]
    assert trace.lost_scheduling == 0
    for name in ("a", "b"):
        since, until, cpu_ns = told[name]
        thread = named(trace, name)
        mine = (trace.scheduling.thread == thread) & (trace.scheduling.state == Scheduled.ON_CPU)
        # The clock goes on for some µs at each switch, and leaves out what interrupts and a
        # hypervisor take meanwhile, which may be much.
        slack_ns = 20_000 * np.count_nonzero(mine)
        found = within(trace, thread, since, until)
        assert 0.97 * cpu_ns - slack_ns <= found <= 2 * cpu_ns + slack_ns
    sleeper = named(trace, "sleeper")
    assert total(trace, sleeper, Scheduled.ON_CPU) < total(trace, sleeper, Scheduled.SLEEPING) // 10
    assert total(trace, sleeper, Scheduled.SLEEPING) > 60 * 2_000_000 * 0.9


@needs_scheduling
def test_threads_that_share_a_cpu(tmp_path: Path) -> None:
    """It runs one at a time; the others that compute are preempted, and no time is left out."""
    printed, trace = record(tmp_path, THREE)
    rows = trace.scheduling
    on_cpu = rows.state == Scheduled.ON_CPU
    for name in ("a", "b", "sleeper"):
        mine = rows.thread == named(trace, name)
        # From its first span to its last there is no hole, and nothing is there twice.
        assert int(rows.ns[mine].sum()) == rows.end[mine].max() - rows.start[mine].min()
        assert set(rows.cpu[mine & on_cpu].tolist()) == {json.loads(printed)["cpu"]}
    for one, other in (("a", "b"), ("b", "a")):
        preempted = (rows.thread == named(trace, one)) & (rows.state == Scheduled.RUNNABLE)
        assert np.count_nonzero(preempted) > 1
        kept_off = total(trace, named(trace, one), Scheduled.RUNNABLE)
        assert kept_off > total(trace, named(trace, other), Scheduled.ON_CPU) // 10
    shared = on_cpu & np.isin(rows.thread, [named(trace, name) for name in ("a", "b", "sleeper")])
    start, end = np.sort(rows.start[shared]), np.sort(rows.end[shared])
    assert (start[1:] >= end[:-1]).all()


@needs_scheduling
def test_forked_processes_and_their_threads(tmp_path: Path) -> None:
    """Processes that the target forks, and theirs, are covered from their start to their end."""
    code = """
    import os, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking before a joined thread is gone
    def spin(): sum(range(300_000))
    def family(depth):
        thread = threading.Thread(target=spin)
        thread.start(); thread.join()
        if depth and not os.fork():
            family(depth - 1)
            os._exit(0)
        if depth: os.wait()
    family(2)
    """
    _printed, trace = record(tmp_path, code)
    assert len(trace.processes) == 3
    for process in trace.processes:
        mine = {thread.index for thread in trace.threads_of(process.index)}
        assert len(mine) == 2
        assert mine <= set(trace.scheduling.thread.tolist())


@needs_scheduling
def test_whole_lives_are_covered(tmp_path: Path) -> None:
    """Of each of two hundred short threads there are spans without a hole, from start to end."""
    code = """
    import threading
    for _ in range(200):
        thread = threading.Thread(target=sum, args=(range(2000),))
        thread.start(); thread.join()
    """
    _printed, trace = record(tmp_path, code)
    rows = trace.scheduling
    for thread in trace.threads:
        mine = rows.thread == thread.index
        assert int(rows.ns[mine].sum()) == rows.end[mine].max() - rows.start[mine].min()
    # A hold lies within its thread's life, but for the one that nobody ended.
    ended = trace.holds.cause != Cause.NONE
    assert (trace.running.not_running_ns[ended] >= 0).all()


@needs_scheduling
def test_holding_the_gil_asleep(tmp_path: Path) -> None:
    """Sleeping in C with the GIL held is held time off the CPU, to the very hold."""
    code = """
    import ctypes, time
    ctypes.PyDLL(None).usleep(50_000)
    time.sleep(0)
    """
    _printed, trace = record(tmp_path, code)
    longest = int(np.argmax(trace.holds.ns))
    assert trace.running.not_running_ns[longest] > 45_000_000


@needs_scheduling
def test_wake_ups_where_they_may_be_recorded(tmp_path: Path) -> None:
    """With the rights for it the capture says when sleepers were woken; else that it does not."""
    record(tmp_path, THREE)
    capture = read(tmp_path / "out.giltrace")
    woken = int(np.count_nonzero(capture.scheduling[:, 1] & np.uint64(WHAT_MASK) == What.WOKEN))
    assert capture.session.options["sched"] == ("wakeups" if WAKEUPS else "switches")
    assert (woken >= 50) is WAKEUPS


@needs_scheduling
def test_the_last_seconds(tmp_path: Path) -> None:
    """A flight recorder keeps the scheduling of its window, too."""
    _printed, trace = record(tmp_path, THREE, "--ring", "5")
    assert total(trace, named(trace, "a"), Scheduled.ON_CPU) > 0


# What a container does by default: the system call is not permitted.
FORBIDDEN = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 298, "aarch64": 241}[platform.machine()]
code = b"".join(struct.pack("HBBI", *one) for one in (
    (0x20, 0, 0, 0),  # load the number of the system call
    (0x15, 0, 1, number),  # another one: skip the next
    (0x06, 0, 0, 0x00050001),  # it fails with EPERM
    (0x06, 0, 0, 0x7FFF0000),  # it is allowed
))
buffer = ctypes.create_string_buffer(code, len(code))
program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
kept = ctypes.create_string_buffer(program, len(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.addressof(kept), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.executable, [sys.executable, "-m", "giltrace", *sys.argv[1:]])
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no filter for it")
def test_where_the_kernel_refuses(tmp_path: Path) -> None:
    """The recording goes on without, with the exit code of the target, and says why in a line."""
    output = tmp_path / "out.giltrace"
    command = ["record", "--sched", "-o", str(output), "-c", "import sys; sys.exit(3)"]
    done = run_python(FORBIDDEN, *command, check=False)
    assert done.returncode == 3, done.stderr
    trace = load(output)
    assert trace.recorded_scheduling == "off"
    assert len(trace.scheduling) == 0
    [note] = [note for note in trace.notes if "scheduling" in note]
    assert note.startswith("The kernel's scheduling was not recorded: ")
    # Where the setting forbids it as well, that comes first.
    assert "--cap-add=PERFMON" in note or "perf_event_paranoid" in note
    assert done.stderr.count("scheduling was not") == 1


class Kept:
    """Takes rows, and has them."""

    lasting = True
    rows = b""

    def scheduling(self, rows: bytes) -> None:
        """As of a sink."""
        self.rows += rows

    def flush(self) -> None:
        """As of a sink."""


@needs_scheduling
def test_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With buffers of one page that nobody empties, the rows and the lost ones are all there is."""
    monkeypatch.setattr("giltrace.record.scheduling._MOST_PAGES", 1)
    monkeypatch.setattr("giltrace.record.scheduling._LEAST_PAGES", 1)
    trips, kept = 2000, Kept()
    code = f"""
import os
there, back = os.pipe(), os.pipe()
if not os.fork():
    for _ in range({trips}): os.write(back[1], os.read(there[0], 1))
    os._exit(0)
for _ in range({trips}): os.write(there[1], b"x"); os.read(back[0], 1)
os.wait()
"""
    with Scheduling(asked=True) as scheduling:
        subprocess.run([sys.executable, "-c", code], check=True)
        scheduling.finish(kept)  # type: ignore[arg-type]
    data = np.frombuffer(kept.rows, "<u8").reshape(-1, 2)[:, 1]
    is_lost = data & np.uint64(WHAT_MASK) == What.LOST
    lost = int((data[is_lost] >> np.uint64(TID_SHIFT)).sum())
    assert lost > 0
    # Each trip takes two sleeps at least, and each of these two rows: going and coming.
    assert np.count_nonzero(~is_lost) + lost > 2 * trips


def test_without_the_option_nothing_is_asked(tmp_path: Path) -> None:
    """Scheduling costs something: it is recorded only if asked for."""
    output = tmp_path / "out.giltrace"
    subprocess.run(
        [sys.executable, "-m", "giltrace", "record", "-q", "-o", str(output), "-c", "pass"],
        timeout=60,
        env=environment(),
        check=True,
    )
    capture = read(output)
    assert capture.session.options["sched"] == "off"
    assert len(capture.scheduling) == 0
    assert os.path.exists(output)
