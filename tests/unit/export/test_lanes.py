"""Lanes: which threads and GILs get a row."""

from __future__ import annotations

import numpy as np

from giltrace.export.lanes import Lanes
from giltrace.model.builder import build
from giltrace.model.trace import Trace
from tests.support.recording import Recording
from tests.support.timeline import timeline


def rows(trace: Trace) -> list[tuple[str, int, bool]]:
    """Each lane as thread, GIL and whether it is the row of its thread."""
    return [(lane.thread.name, lane.gil.number, lane.is_main) for lane in Lanes(trace).all]


def test_one_for_each_thread_that_does_something() -> None:
    """Threads that never hold or wait have no lane."""
    trace = timeline("A: hold 0-1ns", "idle: lost 1", "B: wait 0-")
    assert rows(trace) == [("A", 0, True), ("B", 0, True)]


def test_a_thread_on_two_gils() -> None:
    """The first GIL of a thread is in its own row, further ones are not."""
    trace = timeline("A: hold 0-1ns hold 1-2ns gil=1", "B: hold 2-3ns gil=1")
    assert rows(trace) == [("A", 0, True), ("A", 1, False), ("B", 1, True)]


def recorded(*threads: tuple[int, int]) -> Trace:
    """A trace of threads with the given process and thread ids, each holding a GIL once."""
    recording = Recording()
    processes = [recording.process(pid) for pid, _ in threads]
    for number, (process, (_, tid)) in enumerate(zip(processes, threads, strict=True)):
        process.thread(f"t{number}", tid)
        process.acquire(0, number, 1)
        process.release(0, number + 1)
    return build(recording.capture())


def test_ids_that_are_used_again() -> None:
    """A program that was replaced by exec has the same ids but gets a row of its own."""
    trace = recorded((7, 7), (7, 7), (8, 7))
    assert [is_main for _, _, is_main in rows(trace)] == [True, False, True]


def test_unknown_ids_are_not_taken_for_one_thread() -> None:
    """Threads without a possible kernel id are no rows of known threads."""
    trace = recorded((7, 0), (7, -5), (7, 1 << 40))
    assert [is_main for _, _, is_main in rows(trace)] == [False, False, False]


def test_lookup_by_column() -> None:
    """Pairs of thread and GIL are turned into lanes."""
    trace = timeline("A: hold 0-1ns hold 1-2ns gil=1", "B: hold 2-3ns gil=1")
    lanes = Lanes(trace)
    found = lanes.of(np.array([1, 0, 0], np.int32), np.array([1, 1, 0], np.int32))
    assert found.tolist() == [2, 1, 0]
