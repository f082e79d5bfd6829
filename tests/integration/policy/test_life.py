"""Programs live, fork and end under a policy as they do without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.policy import POLICIES, PRELUDE, run
from tests.support.python import run_python


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
