"""CPU time is shared out as it was used, as far as readings can tell, and never invented."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.model import Trace, build, check, running
from giltrace.model.offgil import READING_INTERVAL_NS
from tests.support.layers import add_calls, add_clocks
from tests.support.recording import Recording
from tests.support.schedules import schedule

CHECKED = settings(derandomize=True, deadline=None, max_examples=150)

NUMBERS = st.lists(st.integers(0, 1 << 16), max_size=60)
SHARES = st.lists(st.integers(0, 3), min_size=1, max_size=12)
STARTS = st.sampled_from([0, 123_456, (1 << 48) - 1_000_000])

Row = tuple[int, int, int]


def scheduled(numbers: list[int], threads: int, gils: int = 1) -> Recording:
    """A recording of one process."""
    recording = Recording()
    schedule(recording, numbers, threads=threads, gils=gils)
    return recording


def held(trace: Trace) -> dict[Row, int]:
    """The CPU time of each hold of which it is known."""
    rows = trace.holds
    columns = (rows.thread, rows.start, rows.end, trace.running.not_running_ns)
    return {
        (thread, start, end): end - start - idle
        for thread, start, end, idle in zip(*(c.tolist() for c in columns), strict=True)
        if idle >= 0
    }


def off(trace: Trace) -> dict[Row, int]:
    """The CPU time of each stretch off the GIL of which it is known."""
    rows = trace.off_gil
    columns = (rows.thread, rows.start, rows.end, rows.cpu_ns)
    return {
        (thread, start, end): cpu_ns
        for thread, start, end, cpu_ns in zip(*(c.tolist() for c in columns), strict=True)
        if cpu_ns >= 0
    }


def covered(trace: Trace, rows: dict[Row, int]) -> set[Row]:
    """Those that last for some time and lie between two readings of their thread."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for thread, ts in zip(trace.cpu.thread.tolist(), trace.cpu.ts.tolist(), strict=True):
        first.setdefault(thread, ts)
        last[thread] = ts
    return {
        (thread, start, end)
        for thread, start, end in rows
        if thread in first and start >= first[thread] and end <= last[thread] and end > start
    }


@CHECKED
@given(NUMBERS, st.integers(1, 4), SHARES, STARTS)
def test_with_readings_everywhere_it_is_exact(
    numbers: list[int], threads: int, shares: list[int], start_ns: int
) -> None:
    """Where each hold and each stretch has readings of its own, its CPU time is the true one."""
    recording = scheduled(numbers, threads)
    truth = add_clocks(recording.processes[0], shares, spacing_ns=0, start_ns=start_ns)
    trace = build(recording.capture())
    assert check(trace) == []
    for true, shown in ((truth.held, held(trace)), (truth.off, off(trace))):
        wanted = covered(trace, true)
        assert wanted <= set(shown)
        assert {row: true[row] for row in wanted} == {row: shown[row] for row in wanted}


@CHECKED
@given(NUMBERS, st.integers(1, 4), SHARES)
def test_what_lasts_is_near_the_truth(numbers: list[int], threads: int, shares: list[int]) -> None:
    """With readings as the recorder makes them nothing is wrong by more than their distance."""
    recording = scheduled(numbers, threads)
    truth = add_clocks(recording.processes[0], shares)
    trace = build(recording.capture())
    for true, shown in ((truth.held, held(trace)), (truth.off, off(trace))):
        for row in covered(trace, true):
            assert abs(true[row] - shown[row]) <= READING_INTERVAL_NS


@CHECKED
@given(NUMBERS, st.integers(1, 4), st.integers(1, 3), NUMBERS, st.integers(0, 1 << 20))
def test_no_time_is_given_out_twice(
    numbers: list[int], threads: int, gils: int, clocks: list[int], unit: int
) -> None:
    """Holds and stretches between two readings never get more than the clock went on."""
    recording = scheduled(numbers, threads, gils)
    process = recording.processes[0]
    add_clocks(process, [0])
    shown = iter(clocks * (1 + len(process.events)))
    # Clocks that show anything at all, and now and then run backwards.
    process.events = [
        (thread, ts, word & 0xFFFF | (next(shown, 0) * unit) << 16) if word & 15 == 7 else event
        for event in process.events
        for thread, ts, word in [event]
    ]
    add_calls(process, clocks)
    trace = build(recording.capture())
    assert check(trace) == []
    used = held(trace) if gils > 1 else {**off(trace), **held(trace)}
    readings = list(zip(*(c.tolist() for c in trace.cpu.columns().values()), strict=True))
    for (thread, since, before), (same, until, after) in pairwise(readings):
        if thread == same:
            inside = sum(
                ns
                for (who, a, b), ns in used.items()
                if who == thread and since <= a and b <= until
            )
            assert inside <= after - before


@CHECKED
@given(
    *(NUMBERS, st.tuples(st.integers(1, 4), st.integers(1, 2)), SHARES),
    *(st.integers(1, 5), st.sampled_from([0, 20_000, 200_000])),
)
def test_what_is_worked_on_together_makes_no_difference(
    numbers: list[int], counts: tuple[int, int], shares: list[int], rows: int, spacing_ns: int
) -> None:
    """How many threads, or turns of one thread, are worked on at a time is nobody's business."""
    recording = scheduled(numbers, *counts)
    add_clocks(recording.processes[0], shares, spacing_ns=spacing_ns)
    whole = build(recording.capture()).running
    most, running._ROWS = running._ROWS, rows  # type: ignore[misc]
    try:
        pieces = build(recording.capture()).running
    finally:
        running._ROWS = most  # type: ignore[misc]
    for name, column in whole.columns().items():
        assert column.tolist() == pieces.columns()[name].tolist()
