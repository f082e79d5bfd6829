"""CPU load and how its progress is counted."""

from __future__ import annotations

import dis
import sys
import time
from types import FrameType

import pytest

from giltrace.scenarios import load
from giltrace.scenarios.errors import ScenarioError


def test_fib_calls_are_counted_right() -> None:
    """The calls credited for a subtree are the calls that it makes."""
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is load.fib.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        value = load.fib(11)
    finally:
        sys.setprofile(before)
    assert 89 == value
    assert calls == load._FIB_CALLS[11]


def test_fib_counted_is_fib() -> None:
    """Counting changes neither the result nor, beyond the first levels, the calls."""
    progress = load.Progress()
    assert 4181 == load.fib_counted(19, progress)
    # 19 splits into five subtrees: three of 16, two of 15.
    assert 3 * load._FIB_CALLS[16] + 2 * load._FIB_CALLS[15] == progress.done


def test_spin_loop_ends_in_an_unconditional_jump() -> None:
    """The spin loop yields at an instruction that can only be a check point."""
    last = list(dis.get_instructions(load.spin))[-1]
    if sys.version_info >= (3, 12):  # there the exit may come last
        backward = [op for op in dis.get_instructions(load.spin) if "BACKWARD" in op.opname]
        assert ["JUMP_BACKWARD"] == [op.opname for op in backward]
    else:
        assert "JUMP_BACKWARD" == last.opname


def test_a_stopped_worker_returns() -> None:
    """Work that was told to stop does so at its next look up."""
    progress = load.Progress()
    progress.stopped = True
    load.spin(progress)
    load._run_fib(progress)
    assert 65_536 + load._FIB_CALLS[16] == progress.done


def test_a_worker_ends_at_its_deadline() -> None:
    """Work past its deadline ends by itself."""
    progress = load.Progress(deadline_ns=time.monotonic_ns() - 1)
    load.spin(progress)
    assert 65_536 == progress.done


def test_rate_between_samples() -> None:
    """A rate is taken between any two instants, by interpolation."""
    samples = [(0, 0), (1_000_000_000, 10), (3_000_000_000, 110)]
    assert 10.0 == load._rate(samples, 0, 1_000_000_000)
    assert 50.0 == load._rate(samples, 1_500_000_000, 2_500_000_000)
    assert 30.0 == load._rate(samples, 500_000_000, 1_500_000_000)
    assert 0.0 == load._rate(samples, 5, 5)


def test_the_best_part_of_a_calibration_counts() -> None:
    """A cold start and a disturbance later on do not make a worker look slower than it is."""
    slow, fast = 10, 100  # iterations per millisecond
    speeds = [slow] * 200 + [fast] * 500 + [slow] * 300
    done, samples = 0, [(0, 0)]
    for ms, speed in enumerate(speeds, 1):
        done += speed
        samples.append((ms * 1_000_000, done))
    assert load.best_rate(samples) == pytest.approx(fast * 1000)


def test_rate_outside_of_the_samples() -> None:
    """Before its first sample and after its last, work has made no progress."""
    samples = [(1_000_000_000, 0), (2_000_000_000, 10)]
    assert 2.5 == load._rate(samples, 0, 4_000_000_000)


@pytest.mark.parametrize("kind", ["spin", "fib", "native"])
def test_threads_make_progress_and_end(kind: str) -> None:
    """Each kind of thread runs, counts and can be stopped."""
    started_ns = time.monotonic_ns()
    threads = load.Threads(kind, 2)
    while not all(progress.done for progress in threads.progress):
        time.sleep(0)
    threads.stop()
    threads.stop()
    rates = threads.rates(started_ns, time.monotonic_ns())
    assert 2 == len(rates)
    assert all(rate > 0 for rate in rates)
    assert ["cpu-1", "cpu-2"] == [thread.name for thread in threads._threads]
    assert not any(thread.is_alive() for thread in threads._threads)


@pytest.mark.timeout(30)
def test_native_work_lets_go_of_the_gil_unasked() -> None:
    """Another thread need not request the GIL from the native load: it is hardly ever held."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        threads = load.Threads("native", 1)
        threads.stop()
    finally:
        sys.setswitchinterval(before)
    assert threads.progress[0].done > 0


def test_unknown_kind() -> None:
    """A kind of load that does not exist is refused with the list of those that do."""
    with pytest.raises(ScenarioError) as caught:
        load.start("sleep", 1)
    assert "there is no load of kind 'sleep'" == caught.value.message
    assert "Choose one of: spin, fib, process, native." == caught.value.hint
