"""Who gets the GIL next, and when the holder is asked for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.policy import POLICIES, run


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
