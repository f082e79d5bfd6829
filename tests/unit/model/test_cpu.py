"""Readings of CPU clocks."""

from __future__ import annotations

from giltrace.model import CpuReadings, build, check
from tests.support.recording import Recording
from tests.support.timeline import timeline

MS = 1_000_000
WRAP = 1 << 48


def readings(columns: CpuReadings) -> list[tuple[int, int, int]]:
    """Thread, time and clock of each reading."""
    return list(zip(*(column.tolist() for column in columns.columns().values()), strict=True))


def test_readings_of_each_thread() -> None:
    """Readings come by thread and then by time, whatever the order of the file."""
    trace = timeline(
        """
        process 1
        a: hold 0-1ms cpu=5us-900us hold 4-5ms cpu=-2ms
        b: hold 2-3ms cpu=7us-
        process 2
        a: hold 0-1ms cpu=1us-2us
        """
    )
    assert readings(trace.cpu) == [
        (0, 0, 5_000),
        (0, 1 * MS, 900_000),
        (0, 5 * MS, 2 * MS),
        (1, 2 * MS, 7_000),
        (2, 0, 1_000),
        (2, 1 * MS, 2_000),
    ]
    assert trace.notes == ()
    assert check(trace) == []


def test_clocks_that_wrap_around() -> None:
    """Only 48 bits are recorded; the differences are right all the same."""
    made = Recording()
    process = made.process()
    clocks = [WRAP - 5, WRAP + 5, 2 * WRAP - WRAP // 2 + 4, 2 * WRAP + 1]
    for i, clock in enumerate(clocks):
        process.acquire(0, 1000 * i, i + 1)
        process.cpu(0, 1000 * i, clock % WRAP)
        process.release(0, 1000 * i + 500)
    process.end_ns = 10_000
    assert build(made.capture()).cpu.cpu_ns.tolist() == clocks


def test_clocks_that_run_backwards() -> None:
    """A clock that falls stays where it was until it has caught up, and that is said."""
    trace = timeline(
        """
        a: hold 0-1ms cpu=5ms-6ms hold 2-3ms cpu=4ms-5500us hold 4-5ms cpu=6100us-7ms
        b: hold 9-10ms cpu=1ms-
        """
    )
    assert trace.cpu.cpu_ns.tolist() == [5 * MS, 6 * MS, 6 * MS, 6 * MS, 6_100_000, 7 * MS, 1 * MS]
    assert trace.notes == ("pid 100: 2 readings of a CPU clock that ran backwards put right.",)
    assert check(trace) == []


def test_times_that_run_backwards() -> None:
    """A reading from before the last one is moved to that; of two at one time the second counts."""
    trace = timeline(
        "a: acquire@5ms event@5ms kind=7 payload=100 release@4ms event@4ms kind=7 payload=200"
    )
    assert readings(trace.cpu) == [(0, 5 * MS, 200)]
    assert check(trace) == []


def test_impossible_times() -> None:
    """A reading without a possible time is left out."""
    made = Recording()
    process = made.process()
    for ts in (5, (1 << 63) + 5, (1 << 62) + 1):
        process.cpu(0, ts, 7)
    trace = build(made.capture())
    assert readings(trace.cpu) == [(0, 5, 7)]
    assert any("2 readings of a CPU clock" in note for note in trace.notes)
    assert check(trace) == []


def test_readings_without_a_gil() -> None:
    """Threads of an interpreter without a GIL have clocks too, and no GIL comes of it."""
    made = Recording()
    process = made.process(gil_enabled=False)
    process.cpu(3, 10, 7)
    process.cpu(3, 20, 9)
    trace = build(made.capture())
    assert (trace.gils, [thread.number for thread in trace.threads]) == ((), [3])
    assert (trace.start_ns, trace.end_ns) == (0, 20)
    assert check(trace) == []
