"""Choosing a policy, and giving threads priorities."""

from __future__ import annotations

from pathlib import Path

from tests.support.policy import run


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
