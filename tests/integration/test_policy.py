"""Policies and priorities in live interpreters; each test runs in a process of its own.

Several tests set a switch interval of many seconds: what then comes to an end within the test's own
time limit cannot have waited for it, on a machine however slow or busy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.python import run_python

PRELUDE = """
import ctypes, os, sys, threading, time
from collections import defaultdict
import giltrace
from giltrace import _core
from tests.support.events import decode

path = sys.argv[1]
cycle = ctypes.CDLL(None).getppid  # ctypes lets the GIL go around each call: one cycle, no more
done = False

def spin(priority=0):
    if priority:
        giltrace.set_priority(priority)
    while not done:
        pass

def run(*threads, join=True):
    threads = [threading.Thread(target=t[0], args=t[1:]) if isinstance(t, tuple) else
               threading.Thread(target=t) for t in threads]
    for t in threads: t.start()
    if join:
        for t in threads: t.join()
    return threads

class Recorded:
    # The events of the block, and how long each thread held the GIL, by its id.
    def __enter__(self):
        _core.start(path, b"{}", chunks=8192)
        self.reader = _core.ArenaReader(path)
        return self
    def __exit__(self, *_):
        _core.stop()
        os.unlink(path)
        self.tids = {row[0]: row[2] for row in self.reader.threads()}
        events = [e for e in decode(*self.reader.drain()) if e.kind != "cpu"]
        self.events = sorted(events, key=lambda e: e.ts)
        assert self.reader.totals()["lost_events"] == 0
    def held(self):
        held, since, self.lengths = defaultdict(int), {}, []
        for e in self.events:
            if e.kind == "acquire":
                since[e.slot] = e.ts
            elif e.kind == "release":
                self.lengths.append(e.ts - since.pop(e.slot))
                held[self.tids[e.slot]] += self.lengths[-1]
        return held
"""

POLICIES = pytest.mark.parametrize("policy", ["manual", "auto"])


def run(code: str, tmp_path: Path, *args: str, check: bool = True) -> str:
    """Run ``code`` after PRELUDE; returns its output."""
    return run_python(PRELUDE + "\n" + code, tmp_path / "arena", *args, check=check).stdout


def test_off_by_default_and_undone(tmp_path: Path) -> None:
    """Nothing is installed before a policy is chosen, nor after CPython's is chosen again."""
    run(
        """
assert giltrace.policy() == "cpython" and not _core.state()["installed"]
for name in "auto", "manual", "cpython", "cpython":
    assert giltrace.policy(name) == name == giltrace.policy()
    assert _core.state()["installed"] == (name != "cpython")
    for _ in range(1000): cycle()
# A recording that ends leaves the policy alone, and the other way round.
giltrace.policy("auto")
with Recorded() as seen:
    cycle()
assert giltrace.policy() == "auto" and _core.state()["installed"]
with Recorded() as seen:
    giltrace.policy("cpython")
    cycle()
assert [e.kind for e in seen.events][-4:] == ["acquire", "release"] * 2
assert not _core.state()["installed"]
try:
    giltrace.policy("fair")
except ValueError as error:
    assert "cpython, manual, auto" in str(error)
else:
    raise AssertionError
""",
        tmp_path,
    )


def test_priorities_are_set_read_and_given_back(tmp_path: Path) -> None:
    """By the thread itself, for a block, for another thread by object and by id, and refused."""
    run(
        """
assert giltrace.get_priority() == 0
giltrace.set_priority(-1)
assert giltrace.policy() == "manual", "a priority alone is enough"
with giltrace.priority(7):
    assert giltrace.get_priority() == 7
assert giltrace.get_priority() == -1

go, seen = threading.Event(), []
def ask():
    seen.append(giltrace.get_priority())
    go.wait()
    seen.append(giltrace.get_priority())
other, = run(ask, join=False)
giltrace.set_priority(2**31 - 1, other)
assert giltrace.get_priority(other) == 2**31 - 1 == giltrace.get_priority(other.native_id)
giltrace.set_priority(-(2**31), other.native_id)
go.set()
other.join()
assert seen == [0, -(2**31)], seen

def refused(error, *args):
    try:
        giltrace.set_priority(*args)
    except error:
        return
    raise AssertionError(args)
refused(ValueError, 1, other)
refused(ValueError, 1, threading.Thread())
refused(ValueError, 1, 2**22 + 5)
refused(ValueError, 2**31)
refused(TypeError, 1, "MainThread")
refused(TypeError, "1")
giltrace.policy("cpython")
giltrace.set_priority(3)
assert giltrace.policy() == "cpython", "what was chosen is kept to"
assert giltrace.get_priority() == 3
""",
        tmp_path,
    )


def test_a_thread_with_a_used_id_does_not_inherit(tmp_path: Path) -> None:
    """Threads with priorities come and go by the hundred; one that comes later has none."""
    run(
        """
giltrace.policy("manual")
def work(n):
    assert giltrace.get_priority() == 0
    giltrace.set_priority(n)
    cycle()
    assert giltrace.get_priority() == n
for n in range(1, 2001, 100):
    run(*((work, n + i) for i in range(100)))
giltrace.set_priority(1)
""",
        tmp_path,
    )


@pytest.mark.parametrize("priority", ["-1", "0"])
def test_an_urgent_thread_does_not_wait_for_the_interval(tmp_path: Path, priority: str) -> None:
    """With an interval of a minute, a thread gets the GIL a hundred times beside one that spins."""
    run(
        """
priority = int(sys.argv[2])
giltrace.policy("manual" if priority else "auto")
if priority:
    giltrace.set_priority(1)
sys.setswitchinterval(60)
spinner, = run((spin, priority), join=False)
for _ in range(100):
    time.sleep(0.0005)
done = True
spinner.join()
""",
        tmp_path,
        priority,
    )


def test_after_a_quiet_time_accounts_go_on(tmp_path: Path) -> None:
    """Where nobody waited for long, who then computes is interrupted by who then comes back."""
    run(
        """
giltrace.policy("auto")
sys.setswitchinterval(60)
(source, sink), answers = os.pipe(), 0
def answer():
    global answers
    while os.read(source, 1) == b"x":
        answers += 1
other, = run((answer,), join=False)
for n in range(20):
    for _ in range(1000): cycle()  # nobody waits: no need to know the time
    os.write(sink, b"x")
    while answers == n: pass
os.write(sink, b"y")
other.join()
""",
        tmp_path,
    )


def test_a_priority_changes_while_the_thread_waits(tmp_path: Path) -> None:
    """A waiter made more urgent than the holder gets the GIL; an interval of a minute apart."""
    run(
        """
giltrace.policy("manual")
sys.setswitchinterval(60)
state = []
def urgent():
    # Comes back, raises another and yields to it at once, while both are computing.
    giltrace.set_priority(5)
    time.sleep(0.01)
    giltrace.set_priority(9, low)
    giltrace.set_priority(0)
    while not state: pass
def compute():
    giltrace.set_priority(-5)
    time.sleep(0.005)
    while giltrace.get_priority() != 9: pass
    state.append("raised")
low = threading.Thread(target=compute); low.start()
high = threading.Thread(target=urgent); high.start()
low.join(); high.join()
""",
        tmp_path,
    )


@POLICIES
def test_a_gil_handed_to_an_urgent_thread_is_not_taken_by_another(
    tmp_path: Path, policy: str
) -> None:
    """After each release the most urgent of those that wait, or come meanwhile, is the next."""
    run(
        """
giltrace.policy(sys.argv[2])
def work(priority, pause):
    giltrace.set_priority(priority)
    ids[threading.get_native_id()] = priority
    gate.wait()
    while not done:
        time.sleep(pause) if pause else (cycle(), sum(range(300)))
ids = {}
gate = threading.Barrier(5)
sys.setswitchinterval(60) # nobody waits for long enough to be let through because of that
threads = run((work, -1, 0), (work, -1, 0), (work, 1, 0.0002), (work, 2, 0.0003), join=False)
giltrace.set_priority(3)
ids[threading.get_native_id()] = 3
with Recorded() as seen:
    gate.wait()
    time.sleep(0.5)
    done = True
    for t in threads: t.join()
waiting, handed, overtaken, chances = {}, None, 0, 0
for e in seen.events:
    priority = ids.get(seen.tids[e.slot], 0)
    if e.kind == "wait":
        waiting[e.slot] = priority
    elif e.kind == "release" and waiting:
        handed = max(waiting.values())
    elif e.kind == "acquire":
        waiting.pop(e.slot, None)
        if handed is not None and handed > -1:
            chances += 1
            overtaken += priority < handed
        handed = None
assert chances > 100 and overtaken == 0, (overtaken, chances)
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_equal_threads_get_equal_shares(tmp_path: Path, policy: str) -> None:
    """Four threads that compute take turns, and with accounts hold the GIL for the same time."""
    run(
        """
giltrace.policy(sys.argv[2])
gate = threading.Barrier(5)
def work():
    gate.wait()
    spin()
threads = run(work, work, work, work, join=False)
with Recorded() as seen:
    gate.wait()
    time.sleep(1.5)
done = True
for t in threads: t.join()
slack = 5 # turns taken by another because the one whose it was did not run
if sys.argv[2] == "auto":
    parts = [seen.held()[t.native_id] for t in threads]
    # On a busy machine a hold can be long: its thread is not running, and cannot let go.
    slack = max(seen.lengths)
else:
    parts = [sum(e.kind == "acquire" and seen.tids[e.slot] == t.native_id for e in seen.events)
             for t in threads]
assert max(parts) <= 1.1 * min(parts) + slack, (parts, slack)
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_a_thread_that_lets_go_each_millisecond_starves_nobody(tmp_path: Path, policy: str) -> None:
    """Two threads that compute keep a quarter each beside one that calls sleep(0) ("cpued")."""
    run(
        """
giltrace.policy(sys.argv[2])
def cpued():
    while not done:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end: pass
        time.sleep(0)
threads = run(spin, spin, cpued, join=False)
with Recorded() as seen:
    time.sleep(1.5)
done = True
for t in threads: t.join()
held = seen.held()
shares = [held[t.native_id] / sum(held.values()) for t in threads]
assert min(shares[:2]) >= 0.25, shares
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_an_urgent_thread_that_never_lets_go_starves_nobody(tmp_path: Path, policy: str) -> None:
    """Others get turns, the least urgent among them, because they have waited for long."""
    run(
        """
giltrace.policy(sys.argv[2])
turns = defaultdict(int)
def starve(number):
    giltrace.set_priority(-number)
    while not done:
        cycle()
        turns[number] += 1
threads = run((spin, 10), (starve, 1), (starve, 2), (starve, 3), join=False)
while len(turns) < 3 or min(turns.values()) < 5:
    time.sleep(0.01)
done = True
for t in threads: t.join()
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_ctrl_c_reaches_a_main_thread_of_no_importance(tmp_path: Path, policy: str) -> None:
    """KeyboardInterrupt arrives in the main thread although a more urgent one never lets go."""
    run(
        """
import signal
giltrace.policy(sys.argv[2])
giltrace.set_priority(-3)
def interrupt():
    giltrace.set_priority(3)
    os.kill(os.getpid(), signal.SIGINT)
    spin()
try:
    threading.Thread(target=interrupt).start()
    while True: pass
except KeyboardInterrupt:
    done = True
""",
        tmp_path,
        policy,
    )


@POLICIES
@pytest.mark.parametrize("how", ["sys.exit(7)", "os._exit(7)", "os.kill(os.getpid(), 9)"])
def test_a_program_ends_as_it_would(tmp_path: Path, policy: str, how: str) -> None:
    """With threads at every priority waiting, also if nobody takes the policy back."""
    code = f"""
import atexit
giltrace.policy({policy!r})
atexit.unregister(_core.set_policy)
giltrace.set_priority(1)
def forever(n):
    giltrace.set_priority(n)
    while True: cycle()
def compute(n):
    giltrace.set_priority(n)
    while True: pass
for n in (-1, 0, 1, 2):
    for f in (forever, compute):
        threading.Thread(target=f, args=(n,), daemon=True).start()
time.sleep(0.2)
{how}
"""
    ended = run_python(PRELUDE + code, tmp_path / "arena", check=False)
    assert ended.returncode == (-9 if "kill" in how else 7), ended.stderr
    assert ended.stderr == ""


@POLICIES
def test_policies_change_while_threads_wait(tmp_path: Path, policy: str) -> None:
    """Nobody is left asleep, whatever it was waiting on: the interval is a minute."""
    run(
        """
names = ["cpython", sys.argv[2]]
sys.setswitchinterval(60)
totals = []
def work():
    for _ in range(4000): cycle()
    totals.append(1)
def toggle():
    for i in range(300):
        giltrace.policy(names[i % 2])
        cycle()
threads = run(*[work] * 6, toggle)
assert len(totals) == 6
giltrace.policy("cpython")
assert not _core.state()["installed"]
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_a_forked_child_goes_on_under_the_same_policy(tmp_path: Path, policy: str) -> None:
    """Forked in the middle of contention, the child has a queue of its own and its priority."""
    run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
giltrace.policy(sys.argv[2])
giltrace.set_priority(2)
others = run((spin, -1), (spin, -2), (spin, 0), join=False)
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        try:
            assert giltrace.policy() == sys.argv[2] and giltrace.get_priority() == 2
            done = False
            mine = run((spin, -1), join=False)
            for _ in range(50): time.sleep(0.0001)
            done = True
            mine[0].join()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
done = True
for t in others: t.join()
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_many_threads_finish(tmp_path: Path, policy: str) -> None:
    """A thousand threads that compute and let go, at mixed priorities, all get through."""
    run(
        """
giltrace.policy(sys.argv[2])
gate, results = threading.Barrier(1000), []
def work(n):
    giltrace.set_priority(n % 3 - 1)
    gate.wait()
    total = sum(range(20_000))
    for _ in range(5): cycle()
    results.append(total)
run(*((work, n) for n in range(1000)))
assert results == [199990000] * 1000
""",
        tmp_path,
        policy,
    )


@POLICIES
def test_recorded_streams_keep_their_invariants(tmp_path: Path, policy: str) -> None:
    """One holder at a time, alternation, and requests that name a hold of another thread."""
    run(
        """
giltrace.policy(sys.argv[2])
def io():
    for _ in range(300): time.sleep(0.0001)
def compute():
    for _ in range(40): sum(range(20_000))
def both(n):
    giltrace.set_priority(n)
    for _ in range(100): cycle(); sum(range(500))
with Recorded() as seen:
    run(io, io, compute, compute, (both, -1), (both, 1))
last, holds, open_ = {}, {}, {}
for e in seen.events:
    if e.kind == "acquire":
        assert last.get(e.slot) != "acquire" and e.payload not in holds
        holds[e.payload] = [e.slot, e.ts, None]
        open_[e.slot] = e.payload
    if e.kind == "release":
        assert last.get(e.slot) == "acquire"
        holds[open_.pop(e.slot)][2] = e.ts
    if e.kind in ("acquire", "release"):
        last[e.slot] = e.kind
assert sorted(holds) == list(range(1, len(holds) + 1))
ordered = [holds[tenure] for tenure in sorted(holds)]
assert all(a[2] <= b[1] for a, b in zip(ordered, ordered[1:])), "two holders at once"
requests = [e for e in seen.events if e.kind == "drop_request"]
assert requests
for e in requests:
    slot, begin, end = holds[e.payload]
    assert slot != e.slot and begin <= e.ts <= end
""",
        tmp_path,
        policy,
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share a GIL before 3.12")
@POLICIES
def test_interpreters_with_a_gil_of_their_own(tmp_path: Path, policy: str) -> None:
    """Threads of other interpreters go on while the policy is chosen, works and is undone."""
    run(
        """
try:
    import _interpreters as interpreters
    make = lambda: interpreters.create("isolated")
except ImportError:
    import _xxsubinterpreters as interpreters
    make = lambda: interpreters.create(isolated=True)
code = '''
import time
from _thread import start_new_thread, allocate_lock
gate = [allocate_lock() for _ in range(3)]
def work(lock):
    for _ in range(300):
        time.sleep(0.00005)
        sum(range(300))
    lock.release()
for lock in gate:
    lock.acquire()
    start_new_thread(work, (lock,))
for lock in gate:
    lock.acquire()
'''
def other():
    for _ in range(3):
        one = make()
        interpreters.run_string(one, code)
        interpreters.destroy(one)
others = run(other, other, spin, join=False)
while any(t.is_alive() for t in others[:2]):
    for name in (sys.argv[2], "cpython"):
        giltrace.policy(name)
        time.sleep(0.02)
done = True
for t in others: t.join()
""",
        tmp_path,
        policy,
    )


def test_a_recording_tells_priorities_and_early_requests(tmp_path: Path) -> None:
    """Each change is an event of the thread itself, and requests ahead of the interval say so."""
    run(
        """
sys.setswitchinterval(1)
def work():
    giltrace.set_priority(2)
    for _ in range(20): time.sleep(0.0002)
    giltrace.set_priority(0)
    cycle()
giltrace.set_priority(-1)
with Recorded() as seen:
    worker = threading.Thread(target=work); worker.start()
    while worker.is_alive(): pass
    worker.join()
told = defaultdict(list)
for e in seen.events:
    if e.kind == "priority":
        told[seen.tids[e.slot]].append(e.payload)
assert told == {threading.get_native_id(): [2**32 - 1], worker.native_id: [2, 0]}, told
requests = [e for e in seen.events if e.kind == "drop_request" and e.slot != seen.events[0].slot]
# None where the worker is back before the other one has woken up.
assert requests and all(e.flags & 1 for e in requests), requests
""",
        tmp_path,
    )


@pytest.mark.slow
@POLICIES
def test_a_bit_of_everything_comes_out_as_under_cpython(policy: str) -> None:
    """Sockets, locks, threads, garbage, signals and forks together, at mixed priorities."""
    code = """
        import runpy, sys
        del sys.argv[0]
        runpy.run_module("tests.support.soak", run_name="__main__")
    """
    done = run_python(code, "soak", "--policy", policy, "--seconds", "2")
    assert f"under {policy}" in done.stdout
