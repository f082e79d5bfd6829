"""What the kernel did with threads, as PerfettoSQL sees it in an exported file."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from giltrace.capture.scheduling import What
from giltrace.export.registry import create
from giltrace.model import Scheduled, Trace, build
from giltrace.viewer import recipes
from tests.support.hostile import NAMES
from tests.support.recording import Recording
from tests.support.trace_processor import missing, open_trace

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

STATES = {"Running": Scheduled.ON_CPU, "R": Scheduled.RUNNABLE, "S": Scheduled.SLEEPING}
THREADS, US = 5, 1000


def exported(trace: Trace) -> bytes:
    """The file in Perfetto's own format."""
    out = io.BytesIO()
    create("perfetto").write(trace, out)
    return out.getvalue()


def recorded(seed: int, *, names: tuple[str, ...] = ()) -> Trace:
    """Threads that take turns on two CPUs and hold the GIL for some of it; rows are lost once."""
    rng = random.Random(seed)
    recording = Recording()
    process = recording.process()
    ids = [500 + number for number in range(THREADS)]
    for number, tid in enumerate(ids):
        process.thread(names[number] if names else f"t{number}", tid)
    on: list[int | None] = [None, None]
    now, tenure = 1 * US, 0
    for step in range(2000):
        now += rng.randrange(1, 50) * US
        cpu = rng.randrange(2)
        if (leaving := on[cpu]) is not None:
            recording.scheduled(now, rng.choice([What.SLEEPS, What.PREEMPTED]), leaving, cpu=cpu)
        comes = on[cpu] = rng.choice([one for one in ids if one not in on])
        recording.scheduled(now + 300, What.RUNS, comes, cpu=cpu)
        if step % 7 == 0:
            holder, tenure = rng.randrange(THREADS), tenure + 1
            process.acquire(holder, now + 400, tenure)
            process.release(holder, now + 900)
        if step == 1000:
            recording.scheduled(now + 400, What.LOST, 3, cpu=0)
    process.end_ns = now + 1000 * US
    recording.scheduled(now + 500, What.ENDED, next(one for one in on if one is not None))
    return build(recording.capture())


def test_states_and_turns_of_each_thread() -> None:
    """Per thread and state as many spans, as long, and as many turns on each CPU as recorded."""
    trace = recorded(1)
    spans = trace.scheduling
    with open_trace(exported(trace)) as queries:
        assert queries.problems() == []
        rows = queries.run(
            "select thread.tid, state, count(*), sum(dur) from thread_state "
            "join thread using (utid) where state != 'X' group by 1, 2"
        ).rows
        turns = queries.run("select tid, cpu, count(*) from sched join thread using (utid) "
                            "group by 1, 2").rows  # fmt: skip
    expected = set()
    for thread in trace.threads:
        for name, state in STATES.items():
            mine = (spans.thread == thread.index) & (spans.state == state)
            if mine.any():
                expected.add((thread.tid, name, int(mine.sum()), int(spans.ns[mine].sum())))
    assert set(rows) == expected
    tid = np.array([thread.tid for thread in trace.threads])[spans.thread[spans.cpu >= 0]]
    pairs = np.stack((tid, spans.cpu[spans.cpu >= 0]), axis=1)
    counted = zip(*np.unique(pairs, axis=0, return_counts=True), strict=True)
    assert {(*pair.tolist(), int(times)) for pair, times in counted} == set(turns)


def test_what_is_not_known_is_no_state() -> None:
    """Where rows were lost, and after its end, a thread is neither running nor waiting to."""
    trace = recorded(2)
    with open_trace(exported(trace)) as queries:
        gone = queries.run(
            "select tid, ts from thread_state join thread using (utid) where state = 'X'"
        ).rows
    spans = trace.scheduling
    ends = spans.end[:-1] != spans.start[1:]
    ends |= spans.thread[1:] != spans.thread[:-1]
    ends = np.append(ends, np.True_)
    tid = np.array([thread.tid for thread in trace.threads])[spans.thread]
    assert len(gone) > 1
    assert set(gone) == set(zip(tid[ends].tolist(), spans.end[ends].tolist(), strict=True))


def test_while_holding_the_gil() -> None:
    """The recipe splits a hold into running, waiting for a CPU and sleeping, to the nanosecond."""
    recording = Recording()
    process = recording.process()
    thread = process.thread("worker", 77)
    process.acquire(thread, 1000 * US, 1)
    process.release(thread, 9000 * US)
    process.end_ns = 10_000 * US
    for ts, what in (
        (500, What.RUNS),
        (2000, What.PREEMPTED),
        (5000, What.RUNS),
        (6000, What.SLEEPS),
        (8500, What.RUNS),
    ):
        recording.scheduled(ts * US, what, 77)
    with open_trace(exported(build(recording.capture()))) as queries:
        result = queries.run(recipes.get("sched").sql)
        [row] = [row for row in result.rows if row[2] == "holds GIL"]
    assert row == ("worker", 77, "holds GIL", 2.5, 3.0, 2.5)


@pytest.mark.parametrize("start", range(0, len(NAMES), THREADS))
def test_hostile_names_and_cpus(start: int) -> None:
    """Whatever threads are called, and CPUs that no machine has: it loads without a complaint."""
    names = (*NAMES[start : start + THREADS], *("x",) * THREADS)
    trace = recorded(3, names=names)
    recording = Recording()
    process = recording.process()
    process.thread(NAMES[start], 9)
    process.end_ns = 100
    recording.scheduled(10, What.RUNS, 9, cpu=65_535)
    for made in (trace, build(recording.capture())):
        with open_trace(exported(made)) as queries:
            assert queries.problems() == []
            assert queries.value("select count(*) from sched") == int(
                np.count_nonzero(made.scheduling.cpu >= 0)
            )
