"""What the kernel did with threads, from its rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.analysis.timeline.state import OF_KIND
from giltrace.analysis.timeline.steps import steps
from giltrace.capture.scheduling import What
from giltrace.model import Scheduled, Trace, build, check
from giltrace.model.calls import OffKind
from giltrace.model.scheduling import time_in
from tests.support.recording import Recording

A, B = 11, 12  # ids of threads


def recorded(
    rows: list[tuple[int, What, int, int]], *, until: int = 1000, seen: tuple[int, int] = (0, 0)
) -> Trace:
    """Threads A and B of a process that was watched from 0 on, with these rows of (ts, …, cpu)."""
    recording = Recording()
    process = recording.process()
    process.thread("a", A, start_ns=seen[0])
    process.thread("b", B, start_ns=seen[1])
    process.end_ns = until
    for ts, what, tid, cpu in rows:
        recording.scheduled(ts, what, tid, cpu=cpu)
    trace = build(recording.capture())
    assert check(trace) == []
    return trace


def spans(trace: Trace) -> list[tuple[str, int, int, Scheduled, int]]:
    """Name of the thread, start, end, state and CPU of each span."""
    rows = trace.scheduling
    columns = (rows.thread, rows.start, rows.end, rows.state, rows.cpu)
    return [
        (trace.threads[thread].name, start, end, Scheduled(state), cpu)
        for thread, start, end, state, cpu in zip(*(c.tolist() for c in columns), strict=True)
    ]


def test_a_life_from_its_start_to_its_end() -> None:
    """A thread waits for its first CPU, runs, is preempted, runs, sleeps, runs and ends."""
    trace = recorded(
        [
            (100, What.STARTED, A, 0),
            (110, What.RUNS, A, 1),
            (200, What.PREEMPTED, A, 1),
            (250, What.RUNS, A, 2),
            (300, What.SLEEPS, A, 2),
            (400, What.RUNS, A, 1),
            (450, What.ENDED, A, 1),
        ],
        seen=(120, 0),
    )
    assert spans(trace) == [
        ("a", 100, 110, Scheduled.RUNNABLE, -1),
        ("a", 110, 200, Scheduled.ON_CPU, 1),
        ("a", 200, 250, Scheduled.RUNNABLE, -1),
        ("a", 250, 300, Scheduled.ON_CPU, 2),
        ("a", 300, 400, Scheduled.SLEEPING, -1),
        ("a", 400, 450, Scheduled.ON_CPU, 1),
    ]


def test_wake_ups_divide_sleep_from_waiting_for_a_cpu() -> None:
    """The first wake-up of a sleep counts; one of a thread that does not sleep says nothing."""
    trace = recorded(
        [
            (10, What.RUNS, A, 0),
            (15, What.WOKEN, A, 1),
            (20, What.SLEEPS, A, 0),
            (50, What.WOKEN, A, 1),
            (55, What.WOKEN, A, 1),
            (60, What.RUNS, A, 0),
            (70, What.PREEMPTED, A, 0),
            (75, What.WOKEN, A, 0),
            (80, What.RUNS, A, 0),
        ],
        until=100,
    )
    assert spans(trace) == [
        ("a", 10, 20, Scheduled.ON_CPU, 0),
        ("a", 20, 50, Scheduled.SLEEPING, -1),
        ("a", 50, 60, Scheduled.RUNNABLE, -1),
        ("a", 60, 70, Scheduled.ON_CPU, 0),
        ("a", 70, 80, Scheduled.RUNNABLE, -1),
        ("a", 80, 100, Scheduled.ON_CPU, 0),
    ]


def test_who_leaves_a_cpu_first_was_on_it_before() -> None:
    """What a thread did when recording began shows in its first row, if that is how it ended."""
    trace = recorded([(50, What.SLEEPS, A, 3), (60, What.RUNS, B, 0)], until=100)
    assert spans(trace) == [
        ("a", 0, 50, Scheduled.ON_CPU, 3),
        ("a", 50, 100, Scheduled.SLEEPING, -1),
        ("b", 60, 100, Scheduled.ON_CPU, 0),
    ]


def test_rows_come_in_the_order_of_their_cpus() -> None:
    """Rows of several CPUs are put in order; those of other processes are left out."""
    trace = recorded(
        [
            (10, What.RUNS, A, 0),
            (20, What.SLEEPS, A, 0),
            (5, What.RUNS, 999, 1),
            (40, What.SLEEPS, A, 1),
            (30, What.RUNS, A, 1),
        ],
        until=41,
    )
    assert spans(trace) == [
        ("a", 10, 20, Scheduled.ON_CPU, 0),
        ("a", 20, 30, Scheduled.SLEEPING, -1),
        ("a", 30, 40, Scheduled.ON_CPU, 1),
        ("a", 40, 41, Scheduled.SLEEPING, -1),
    ]


def test_an_id_that_is_used_again() -> None:
    """Each thread gets the rows of its own life, and one that is not recorded keeps its own."""
    recording = Recording()
    process = recording.process()
    process.thread("first", A, start_ns=15_000)
    process.thread("third", A, start_ns=215_000)
    process.end_ns = 1_000_000
    for start in (10_000, 110_000, 210_000):
        recording.scheduled(start, What.STARTED, A)
        recording.scheduled(start + 2_000, What.RUNS, A)
        recording.scheduled(start + 50_000, What.ENDED, A)
    trace = build(recording.capture())
    assert spans(trace) == [
        ("first", 10_000, 12_000, Scheduled.RUNNABLE, -1),
        ("first", 12_000, 60_000, Scheduled.ON_CPU, 0),
        ("third", 210_000, 212_000, Scheduled.RUNNABLE, -1),
        ("third", 212_000, 260_000, Scheduled.ON_CPU, 0),
    ]


def test_rows_that_contradict_each_other_say_nothing() -> None:
    """Between two rows that do not fit together something is missing: there is no span."""
    trace = recorded(
        [
            (10, What.RUNS, A, 0),
            (20, What.RUNS, A, 0),
            (30, What.SLEEPS, A, 0),
            (40, What.PREEMPTED, A, 0),
            (50, What.RUNS, A, 0),
        ],
        until=60,
    )
    assert spans(trace) == [
        ("a", 20, 30, Scheduled.ON_CPU, 0),
        ("a", 40, 50, Scheduled.RUNNABLE, -1),
        ("a", 50, 60, Scheduled.ON_CPU, 0),
    ]


def test_lost_rows_hide_what_may_have_happened() -> None:
    """Around a loss only what cannot have changed on that CPU is kept, and the loss is told."""
    trace = recorded(
        [
            (10, What.RUNS, A, 0),
            (12, What.RUNS, B, 1),
            (20, What.SLEEPS, A, 0),
            (80, What.LOST, 7, 0),
            (81, What.RUNS, A, 0),
            (95, What.SLEEPS, B, 1),
        ],
        until=100,
    )
    assert spans(trace) == [
        ("a", 10, 20, Scheduled.ON_CPU, 0),
        ("a", 81, 100, Scheduled.ON_CPU, 0),
        ("b", 12, 95, Scheduled.ON_CPU, 1),
        ("b", 95, 100, Scheduled.SLEEPING, -1),
    ]
    assert trace.lost_scheduling == 7
    assert any("7 records of the kernel's scheduling lost" in note for note in trace.notes)


def test_holds_are_known_to_run_or_not_exactly() -> None:
    """Where the kernel's word covers a hold, and what follows it, it counts instead of clocks."""
    recording = Recording()
    process = recording.process()
    thread = process.thread("a", A)
    process.acquire(thread, 1_000_000, 1)
    process.release(thread, 5_000_000)
    process.acquire(thread, 9_000_000, 2)
    process.release(thread, 12_000_000)
    process.end_ns = 20_000_000
    for ts, what in (
        (500_000, What.RUNS),
        (2_000_000, What.PREEMPTED),
        (4_000_000, What.RUNS),
        (6_000_000, What.SLEEPS),
        (8_000_000, What.RUNS),
        (11_000_000, What.SLEEPS),
        (11_500_000, What.LOST),
    ):
        recording.scheduled(ts, what, 1 if what == What.LOST else A)
    trace = build(recording.capture())
    assert check(trace) == []
    assert trace.running.not_running_ns.tolist() == [2_000_000, -1]
    assert trace.off_gil.cpu_ns.tolist() == [2_000_000]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        # It runs for a tenth, and is kept from a CPU for the rest.
        ([(1_100_000, What.PREEMPTED), (1_900_000, What.RUNS)], OffKind.NATIVE),
        # It is woken after a moment, and then has to wait for a CPU like the other one.
        (
            [(1_010_000, What.SLEEPS), (1_100_000, What.WOKEN), (1_980_000, What.RUNS)],
            OffKind.BLOCKED,
        ),
        ([(1_050_000, What.SLEEPS), (1_980_000, What.RUNS)], OffKind.BLOCKED),
    ],
)
def test_a_thread_that_is_kept_from_a_cpu_does_not_sleep(
    rows: list[tuple[int, What]], kind: OffKind
) -> None:
    """In a call that nobody knows, computing is told from blocking on a machine however busy."""
    recording = Recording()
    process = recording.process()
    thread = process.thread("a", A)
    process.acquire(thread, 500_000, 1)
    process.release(thread, 1_000_000)
    process.acquire(thread, 2_000_000, 2)
    process.release(thread, 2_500_000)
    process.end_ns = 3_000_000
    for ts, what in ((400_000, What.RUNS), *rows):
        recording.scheduled(ts, what, A)
    trace = build(recording.capture())
    assert trace.off_gil.kind.tolist() == [kind]
    assert trace.off_gil.cpu_ns.tolist()[0] < 300_000
    lane = steps(trace)
    assert OF_KIND[kind] in lane.state


def test_time_in_a_state_is_exact() -> None:
    """Any stretch of time, also where its thread has no rows or not all of it is known."""
    trace = recorded(
        [
            (1_000, What.RUNS, A, 0),
            (5_000, What.PREEMPTED, A, 0),
            (6_000, What.RUNS, A, 0),
            (9_000, What.SLEEPS, A, 0),
        ],
        until=10_000,
    )
    thread = np.array([0, 0, 0, 1, 0], np.int32)
    start = np.array([2_000, 5_500, 0, 0, 3_000])
    end = np.array([8_000, 5_600, 10_000, 9_000, 3_000])
    ns, known = time_in(trace.scheduling, thread, start, end)
    assert ns.tolist() == [5_000, 0, 7_000, 0, 0]
    assert known.tolist() == [True, True, True, False, True]
    ns, _known = time_in(trace.scheduling, thread, start, end, Scheduled.RUNNABLE)
    assert ns.tolist() == [1_000, 100, 1_000, 0, 0]


ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 60), st.integers(0, (1 << 64) - 1)),
        st.integers(0, 9),
        st.sampled_from([A, A, B, 0, 99, (1 << 32) - 1]),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(ROWS, st.booleans())
def test_no_rows_break_a_trace(rows: list[tuple[int, What, int, int]], shared: bool) -> None:
    """Whatever the kernel is said to have done: a sound trace, in which time is there once."""
    recording = Recording()
    process = recording.process()
    first = process.thread("a", A, start_ns=10)
    process.thread("b", A if shared else B, start_ns=30)
    process.acquire(first, 12, 1)
    process.release(first, 40)
    process.acquire(first, 45, 2)
    process.end_ns = 60
    for ts, what, tid, cpu in rows:
        recording.scheduled(ts, what, tid, cpu=cpu)
    trace = build(recording.capture())
    assert check(trace) == []
    assert int(trace.scheduling.ns.sum()) <= 2 * 60
