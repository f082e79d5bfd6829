"""What the kernel did with each thread, and what reports make of it."""

from __future__ import annotations

import pytest

from giltrace.analysis.scheduling import ThreadScheduling, scheduling
from giltrace.capture.scheduling import What
from giltrace.model import Trace, check
from giltrace.report import json, terminal
from tests.support.scheduling import timeline
from tests.support.telling import told
from tests.support.timeline import timeline as plain

MS = 1_000_000

# The holder runs for 2 ms of its 8, is preempted for 5 and sleeps for 1. The waiter gets the GIL
# 0.5 ms after it was let go, because it had no CPU until then.
HELD = """
    C:  hold 1-9ms at d.py:3 in load
    io: wait 2-9.5ms hold 9.5-10ms at server.py:41 in handle
"""
ROWS = (
    (0, What.RUNS, 0, 0),
    (2 * MS, What.PREEMPTED, 0, 0),
    (7 * MS, What.RUNS, 0, 0),
    (7 * MS + 500_000, What.SLEEPS, 0, 0),
    (8 * MS + 500_000, What.RUNS, 0, 0),
    (0, What.RUNS, 1, 1),
    (3 * MS, What.SLEEPS, 1, 1),
    (9 * MS + 400_000, What.RUNS, 1, 1),
)


def test_time_of_each_thread() -> None:
    """States add up to the recording, holds are split by state, and gaps are the waiter's."""
    trace = timeline(HELD, *ROWS)
    assert check(trace) == []
    holder, waiter = scheduling(trace)
    assert holder == ThreadScheduling(
        thread=0,
        on_cpu_ns=4 * MS,
        runnable_ns=5 * MS,
        sleeping_ns=1 * MS,
        turns=3,
        held_runnable_ns=5 * MS,
        held_sleeping_ns=1 * MS,
        gap_off_cpu_ns=0,
    )
    assert waiter == ThreadScheduling(
        thread=1,
        on_cpu_ns=3_600_000,
        runnable_ns=0,
        sleeping_ns=6_400_000,
        turns=2,
        held_runnable_ns=0,
        held_sleeping_ns=0,
        gap_off_cpu_ns=400_000,
    )
    assert trace.running.not_running_ns.tolist() == [6 * MS, 0]


def test_nothing_is_said_where_nothing_is_known() -> None:
    """Without --sched: no rows, no table, null in JSON."""
    trace = plain(HELD)
    assert scheduling(trace) == []
    assert "What the kernel did" not in terminal.render(trace)
    document = json.as_object(trace)
    assert document["capture"]["sched"] == "off"
    assert {one["scheduling"] for one in document["threads"]} == {None}


@pytest.mark.parametrize(("sched", "head"), [("switches", "off CPU"), ("wakeups", "sleeping")])
def test_the_table(sched: str, head: str) -> None:
    """It says sleeping only where it is known when threads were woken."""
    text = terminal.render(timeline(HELD, *ROWS, sched=sched))
    table = text[text.index("What the kernel did") :].splitlines()
    assert head in table[1]
    assert f"held {head}" in table[1]
    assert table[3].split()[:4] == ["C", "4", "ms", "5"]
    assert ("off CPU: asleep, or woken and waiting for a CPU" in text) is (sched == "switches")


def test_json_has_it_all() -> None:
    """Each thread with its numbers; those of threads that are not on record are null."""
    document = json.as_object(timeline(HELD, *(row for row in ROWS if row[2] == 0)))
    assert document["capture"]["sched"] == "switches"
    first, second = document["threads"]
    assert first["scheduling"]["held_runnable_ns"] == 5 * MS
    assert second["scheduling"] is None


def why(trace: Trace) -> tuple[str, str]:
    """Why the first finding is so, and what to do about it."""
    parts = dict(line.partition(": ")[::2] for line in told(trace) if ": " in line)
    return parts["Why"], parts["What to do"]


def test_a_holder_that_was_preempted() -> None:
    """Held idle because the kernel ran something else: it says so, and that cores are short."""
    reason, todo = why(timeline(HELD, *ROWS[:2], (8 * MS, What.RUNS, 0, 0)))
    assert reason.endswith("the kernel ran something else on its core for 6 ms.")
    assert "cores have more to do" in todo


def test_a_holder_that_slept() -> None:
    """Held idle because it blocked in C code: it says so, and to let the GIL go there."""
    rows = ((0, What.RUNS, 0, 0), (2 * MS, What.SLEEPS, 0, 0), (8 * MS, What.RUNS, 0, 0))
    reason, todo = why(timeline(HELD, *rows))
    assert reason.endswith("it was blocked in C code that keeps the GIL for 6 ms.")
    assert todo == "It blocks in C code that keeps the GIL: let the GIL go there."


def test_a_holder_that_did_both() -> None:
    """Both parts are told."""
    reason, _todo = why(timeline(HELD, *ROWS))
    assert "ran something else on its core for 5 ms, and it was blocked in C code" in reason
