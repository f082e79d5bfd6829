"""Priorities that are changed from outside, of threads that run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from giltrace.capture import read
from giltrace.capture.events import KIND_MASK, Kind
from giltrace.errors import GiltraceError
from giltrace.model import load
from giltrace.model.invariants import check
from giltrace.record.session import session_of
from giltrace.record.wishes import wish
from tests.support.attached import MAINS, UNTOUCHED, attach, attached, running
from tests.support.python import run_python

# One thread never lets go by itself. This one wants the GIL for a moment, again and again, and
# notes down what its priority is, when there is something to ask.
ASKS = """
def spin():
    while not over:
        pass
over, seen = False, []
sys.setswitchinterval(0.02)
threading.Thread(target=spin).start()
while not os.path.exists(flag):
    core = sys.modules.get("giltrace._core")
    if core is not None and hasattr(core, "level"):
        seen.append(core.level(0))
    time.sleep(0.001)
over = True
assert WISHED in seen and set(seen) <= {0, WISHED}, set(seen)
"""


def test_a_thread_gets_the_gil_sooner_from_then_on(tmp_path: Path) -> None:
    """The process itself sees the new priority, the capture tells it, and the waits are gone."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, ASKS.replace("WISHED", "5")) as target:
        with attached(target.pid, output, "--policy", "manual") as recorder:
            _until_waits(output, 10)
            _wish_under_a_policy(recorder.pid, target.pid, 5)
            # Each is a wait of its own, or would have been one.
            _until_tenures(output, 200)
        assert recorder.returncode == 0
        assert target.end() == UNTOUCHED
    trace = load(output)
    assert check(trace) == [] and read(output).session.options["policy"] == "manual"
    main = next(thread.index for thread in trace.threads if thread.tid == target.pid)
    changes = trace.priorities
    assert changes.priority[changes.thread == main].tolist() == [5]
    since = int(changes.ts[changes.thread == main][0])
    mine = trace.waits.thread == main
    ns = trace.waits.end - trace.waits.start
    before, after = ns[mine & (trace.waits.end <= since)], ns[mine & (trace.waits.start > since)]
    assert len(before) and len(after)
    # The GIL is let go of several times a turn, and not always does the other one get it.
    assert np.percentile(after, 90) * 10 < np.percentile(before, 90)


def _wish_under_a_policy(recorder: int, pid: int, priority: int) -> None:
    """Recording begins before the policy does."""
    while True:
        try:
            wish(recorder, pid, pid, priority)
            return
        except GiltraceError as error:
            if "follows no policy" not in str(error):
                raise


def _until_waits(output: Path, n: int) -> None:
    found = 0
    while found < n:
        every = read(output).events.values()
        found = sum(int((events.data & KIND_MASK == Kind.WAIT).sum()) for events in every)


def _until_tenures(output: Path, more: int) -> None:
    before = _events(output)
    while _events(output) < before + more:
        pass


def _events(output: Path) -> int:
    return sum(map(len, read(output).events.values()))


def test_rules_hold_while_attached_and_no_longer(tmp_path: Path) -> None:
    """Threads that match a pattern have their priority, and their own one when we have left."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, ASKS.replace("WISHED", "-7")) as target:
        with attached(target.pid, output, "--priority", "Main*=-7") as recorder:
            # Less urgent than one that computes all the time, it seldom has a turn.
            _until_tenures(output, 20)
        assert recorder.returncode == 0
        assert target.end() == UNTOUCHED
    assert -7 in load(output).priorities.priority.tolist()


def test_what_cannot_be_granted(tmp_path: Path) -> None:
    """One line says why: no policy, no such thread, no such process, no recording."""
    output = tmp_path / "out.giltrace"

    def refused(recorder: int, pid: int, tid: int, priority: int = 1) -> str:
        with pytest.raises(GiltraceError) as caught:
            wish(recorder, pid, tid, priority)
        return caught.value.message

    with running(tmp_path, MAINS["sleeps"]) as target:
        with attached(target.pid, output) as recorder:
            pid, tid = target.pid, target.pid
            assert "follows no policy" in refused(recorder.pid, pid, tid)
        assert recorder.returncode == 0
        with attached(target.pid, tmp_path / "2.giltrace", "--policy", "auto") as recorder:
            assert "no thread 2147483000" in refused(recorder.pid, pid, 2147483000)
            assert "process 1 is not recorded" in refused(recorder.pid, 1, 1)
            assert "32-bit integer" in refused(recorder.pid, pid, tid, 1 << 31)
            session = session_of(recorder.pid)
            for name, text in (("a", "not one"), ("b", "1 2"), ("c", "x" * 100_000)):
                session.put(f"{name}.wish", text)
                while not (session.path / f"{name}.answer").exists():
                    pass
                assert "no wish" in (session.path / f"{name}.answer").read_text()
            wish(recorder.pid, pid, tid, -(1 << 31))
        assert recorder.returncode == 0
        assert "the recording is over" in refused(recorder.pid, pid, tid)
        assert target.end() == UNTOUCHED


def test_a_process_with_a_policy_keeps_it(tmp_path: Path) -> None:
    """Attaching with another one is refused; without one it is left as it was."""
    program = """
    sys.path[:0] = sys.argv[2:]
    import giltrace
    giltrace.policy("auto")
    wait_for_flag()
    assert giltrace.policy() == "auto"
    giltrace.policy("cpython")
    for name in [name for name in sys.modules if name.startswith("giltrace")]:
        del sys.modules[name]
    sys.path[:] = before[1]
    """
    output = tmp_path / "out.giltrace"
    with running(tmp_path, program) as target:
        while "_core" not in Path(f"/proc/{target.pid}/maps").read_text():
            pass
        done = attach(target.pid, "-q", "-o", str(output), "--policy", "manual")
        assert done.returncode == 1 and "a policy of its own" in done.stderr
        assert "hint: Leave out --policy" in done.stderr
        assert not output.exists()
        done = attach(target.pid, "-q", "-o", str(output), "--duration", "0.1")
        assert (done.returncode, done.stderr) == (0, "")
        target.end()


def test_what_a_process_makes_of_wishes(tmp_path: Path) -> None:
    """They reach threads wherever they are; what was lent goes back; no other thread is meant."""
    run_python(
        """
import ctypes, os, sys, threading
import giltrace
from giltrace import _core
cycle = ctypes.CDLL(None).getppid
def born(tid):
    return int(open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[19])

go, asked, threads = threading.Event(), {}, []
def blocked():
    go.wait()
    asked["blocked"] = giltrace.get_priority()
blocked = threading.Thread(target=blocked)
blocked.start()
giltrace.policy("manual")
giltrace.set_priority(2)
_core.start(sys.argv[1], b"{}")
reader = _core.ArenaReader(sys.argv[1])
assert reader.policy == 1
me, parent = threading.get_native_id(), os.getppid()
since, theirs = born(me), born(blocked.native_id)
for tid, when, level in ((me, since, 7), (blocked.native_id, theirs, -3),
                         (me, since + 1, 9), (0, 0, 9), (2**32 - 1, 1, 9), (parent, 1, 9)):
    assert reader.wish(tid, when, level)
assert giltrace.get_priority() == 2, "until the GIL is next taken"
cycle()
assert (giltrace.get_priority(), giltrace.get_priority(blocked)) == (7, -3)
giltrace.set_priority(4, blocked)  # its own from now on
assert [reader.wish(me, since, n) for n in range(17)] == [True] * 16 + [False]
cycle()
assert giltrace.get_priority() == 15 and reader.wish(me, since, 8)
cycle()
assert giltrace.get_priority() == 8
_core.stop()
assert giltrace.get_priority() == 2
cycle()
assert giltrace.get_priority() == 2
go.set()
blocked.join()
assert asked == {"blocked": 4}, asked
from tests.support.events import decode
assert len([e for e in decode(*reader.drain()) if e.kind == "priority"]) >= 3
reader.close()
""",
        tmp_path / "arena",
    )


def test_many_wishes_while_threads_fight_for_the_gil(tmp_path: Path) -> None:
    """At any moment: none is lost, and all threads come to an end."""
    done = run_python(
        """
import sys, threading
import giltrace
from giltrace import _core
def born(tid):
    return int(open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[19])
def work():
    ids.append(threading.get_native_id())
    while not stop:
        sum(range(50))
        lock.acquire(timeout=0.0001)
stop, ids, lock = False, [], threading.Lock()
lock.acquire()
sys.setswitchinterval(0.0001)
giltrace.policy("auto")
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
_core.start(sys.argv[1], b"{}")
reader = _core.ArenaReader(sys.argv[1])
stamps = {tid: born(tid) for tid in ids}
done = 0
while done < 3000:
    tid = ids[done % len(ids)]
    if reader.wish(tid, stamps[tid], done % 5 - 2):
        done += 1
    else:
        lock.acquire(timeout=0.0001)
    if done % 100 == 0:
        reader.drain()
        giltrace.set_priority(done % 7, threads[done % 8])
_core.stop()
stop = True
for thread in threads: thread.join()
assert {_core.level(0)} == {0}
reader.close()
giltrace.policy("cpython")
""",
        tmp_path / "arena",
    )
    assert done.stderr == ""
