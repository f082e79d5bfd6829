"""The numbers of a live view, on traces whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from giltrace.analysis.recent import recent, utilisation, waiters
from giltrace.model import Trace
from giltrace.model.builder import build
from tests.support.recording import Recording, Spot

LINE = Spot("app.py", 10, "work")
MS = 1_000_000


def made(rounds: int = 10) -> Trace:
    """Of every 10 ms, `cpu` holds 6 and `io` waits for 5 of them, then holds 1."""
    recording = Recording()
    process = recording.process()
    a, b = process.thread("cpu"), process.thread("io")
    for i in range(rounds):
        t = i * 10 * MS
        process.acquire(a, t, 2 * i + 1)
        process.wait(b, t + 1 * MS, 2 * i + 1)
        process.release(a, t + 6 * MS, LINE, check=True)
        process.acquire(b, t + 6 * MS, 2 * i + 2)
        process.release(b, t + 7 * MS, LINE, call=True, name="socket.recv")
    process.end_ns = rounds * 10 * MS
    return build(recording.capture())


def test_shares_of_each_stretch_are_exact() -> None:
    """Whole rounds and parts of rounds, by hand."""
    trace = made()
    edges = np.array([0, 10, 20, 26, 27, 30, 100]) * MS
    assert utilisation(trace, edges).tolist() == pytest.approx([0.7, 0.7, 1, 1, 0, 0.7])
    assert waiters(trace, edges).tolist() == pytest.approx([0.5, 0.5, 5 / 6, 0, 0, 0.5])


def test_waits_and_whom_they_fell_on() -> None:
    """Percentiles are lengths of waits, and blame adds up to all of them."""
    found = recent(made(), 5)
    assert found.waits == 10
    assert found.percentiles == (5 * MS, 5 * MS, 5 * MS, 5 * MS)
    (row,) = found.blamed
    assert (row.holder, row.wait_ns, row.waits) == (0, 50 * MS, 10)


def test_nothing_happened() -> None:
    """An empty trace has no percentiles, and nobody to blame."""
    trace = build(Recording().capture())
    found = recent(trace, 5)
    assert (found.waits, found.percentiles, found.blamed) == (0, None, ())
    assert utilisation(trace, np.array([0, 1])).tolist() == [0]
