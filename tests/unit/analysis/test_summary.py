"""The numbers of GILs and threads."""

from __future__ import annotations

import numpy as np
import pytest

from giltrace.analysis.summary import (
    GilSummary,
    ThreadSummary,
    covered_ns,
    percentile,
    summarise,
)
from tests.support.timeline import timeline

MS = 1_000_000

CONVOY = """
    process 1 end=20ms
    main: hold 0-7ms at spin.py:12 check             wait 8-10ms hold 10-15ms
    io:   wait 1-7ms request@6ms hold 7-10ms at server.py:41   wait 12-15ms hold 15-16ms
"""


def test_a_gil() -> None:
    """Every number of a GIL."""
    (gil,) = summarise(timeline(CONVOY)).gils
    assert gil == GilSummary(
        gil=0,
        wall_ns=20 * MS,
        held_ns=16 * MS,
        utilisation=0.8,
        contention=0.55,
        wait_ns=11 * MS,
        acquires=4,
        releases=4,
        handoffs=3,
        forced=1,
        voluntary=3,
        unknown=0,
        waits=3,
        drop_requests=1,
    )


def test_threads() -> None:
    """Every number of a thread."""
    main, io = summarise(timeline(CONVOY)).threads
    assert main == ThreadSummary(
        thread=0,
        acquires=2,
        hold_ns=12 * MS,
        wait_ns=2 * MS,
        off_gil_ns=1 * MS,
        waits=1,
        wait_p50_ns=2 * MS,
        wait_p99_ns=2 * MS,
        wait_max_ns=2 * MS,
        forced_out=1,
    )
    assert io == ThreadSummary(
        thread=1,
        acquires=2,
        hold_ns=4 * MS,
        wait_ns=9 * MS,
        off_gil_ns=2 * MS,
        waits=2,
        wait_p50_ns=3 * MS,
        wait_p99_ns=6 * MS,
        wait_max_ns=6 * MS,
        forced_out=0,
    )


def test_contention_counts_time_not_waiters() -> None:
    """Two waiters at once make no more contention than one, but twice the waiting."""
    (gil,) = summarise(
        timeline(
            """
            process 1 end=10ms
            a: hold 0-5ms
            b: wait 1-5ms hold 5-6ms
            c: wait 2-6ms hold 6-7ms
            """
        )
    ).gils
    assert (gil.contention, gil.wait_ns) == (0.5, 8 * MS)


def test_causes_are_counted_by_release() -> None:
    """Releases are counted by cause, whoever came next; an open hold is no release."""
    (gil,) = summarise(
        timeline(
            """
            a: hold 0-7ms check hold 7-8ms   wait 9-14ms hold 14-15ms hold 15ms-
            b: wait 1-9ms request@6ms names=1 hold 9-14ms wait 16ms-
            c: wait 2ms- request@12ms names=3
            """
        )
    ).gils
    assert (gil.forced, gil.voluntary, gil.unknown) == (1, 2, 1)
    assert (gil.acquires, gil.releases, gil.handoffs) == (5, 4, 2)


def test_each_gil_and_thread_by_itself() -> None:
    """GILs and threads of several processes are told apart; idle ones have zeros."""
    made = """
        process 1 end=10ms
        a: hold 0-5ms
        gil 3
        process 2 end=10ms
        a: hold 0-1ms gil=1 hold 2-3ms
        idle:
    """
    summary = summarise(timeline(made))
    assert [(gil.gil, gil.held_ns) for gil in summary.gils] == [
        (0, 5 * MS),
        (1, 0),
        (2, 1 * MS),
        (3, 1 * MS),
    ]
    assert [(one.thread, one.hold_ns) for one in summary.threads] == [
        (0, 5 * MS),
        (1, 2 * MS),
        (2, 0),
    ]


def test_nothing() -> None:
    """An empty trace has an empty summary."""
    summary = summarise(timeline())
    assert (summary.gils, summary.threads) == ((), ())


def test_no_wall_time() -> None:
    """A GIL that was watched for no time at all was not used at all."""
    (gil,) = summarise(timeline("a: hold 0-0")).gils
    assert (gil.utilisation, gil.contention) == (0.0, 0.0)


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 1000])
@pytest.mark.parametrize("percent", [1, 50, 99, 100])
def test_percentiles_are_values_that_occur(count: int, percent: int) -> None:
    """A percentile is the smallest value that so many do not exceed, as numpy has it too."""
    values = np.sort(np.random.default_rng(count).integers(0, 1000, count))
    expected = np.quantile(values, percent / 100, method="inverted_cdf")
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0),
        ([(1, 4)], 3),
        ([(1, 4), (2, 3)], 3),
        ([(1, 4), (4, 6)], 5),
        ([(1, 4), (2, 9), (3, 5), (20, 21)], 9),
        ([(5, 5), (5, 8)], 3),
    ],
)
def test_union_of_intervals(spans: list[tuple[int, int]], expected: int) -> None:
    """What is covered several times counts once."""
    start = np.array([span[0] for span in spans], np.int64)
    end = np.array([span[1] for span in spans], np.int64)
    assert covered_ns(start, end) == expected
