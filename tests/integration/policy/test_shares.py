"""What is left to the others: shares of equals, and nobody starves."""

from __future__ import annotations

from pathlib import Path

from tests.support.policy import POLICIES, run


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
