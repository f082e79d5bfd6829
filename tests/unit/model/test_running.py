"""Who ran, and for how long: CPU time split over holds and what follows them."""

from __future__ import annotations

import pytest

from giltrace.model import OffKind, build, check, running
from giltrace.model.dense import is_constant
from tests.support.layers import add_clocks
from tests.support.recording import Recording
from tests.support.timeline import timeline

MS = 1_000_000
US = 1_000


def test_nothing_is_known_without_readings() -> None:
    """Without readings all is -1, and takes no memory."""
    trace = timeline("a: hold 0-1ms hold 2-3ms")
    assert trace.running.not_running_ns.tolist() == [-1, -1]
    assert trace.off_gil.cpu_ns.tolist() == [-1]
    assert is_constant(trace.running.not_running_ns)
    assert len(timeline("process 1").running) == 0


def test_a_hold_that_did_not_run() -> None:
    """What the clock did not go on during a hold the thread did not run."""
    trace = timeline("a: hold 0-10ms cpu=1ms-5ms hold 20-30ms cpu=5ms-15ms")
    assert trace.running.not_running_ns.tolist() == [6 * MS, 0]
    assert trace.off_gil.cpu_ns.tolist() == [0]
    assert check(trace) == []


def test_waits_use_no_time() -> None:
    """Between two readings with a wait and a hold in between the time was used by the hold."""
    trace = timeline(
        "a: hold 0-10ms; b: hold 1-1ms gil=1 cpu=0- ; b: wait 1-10ms hold 10-12ms cpu=-2ms"
    )
    hold = trace.holds.thread.tolist().index(1)
    assert trace.running.not_running_ns[hold] == 0
    assert check(trace) == []


def test_off_the_gil() -> None:
    """A stretch has the CPU time between the readings around it."""
    trace = timeline(
        """
        a: hold 0-1ms cpu=0-1ms    hold 11-12ms cpu=1ms-2ms  hold 22-23ms cpu=11ms-12ms
        a: hold 24-25ms cpu=12500us-13ms hold 27-28ms cpu=14ms-
        """
    )
    off = trace.off_gil
    assert off.cpu_ns.tolist() == [0, 9 * MS, 500 * US, 1 * MS]
    assert off.kind.tolist() == [OffKind.BLOCKED, OffKind.NATIVE, OffKind.NATIVE, OffKind.NATIVE]
    assert check(trace) == []


def test_shares() -> None:
    """Holds come first; what is left goes to the stretches, by length, and blocking calls last."""
    text = """
        a: hold 0-100us cpu=0-  hold 150-250us call=time.sleep
        a: hold 350-450us       hold 600-700us cpu=-{}
    """
    for clock, idle, off in (
        ("100us", [75, 75, 75, 75], [0, 0, 0]),
        ("400us", [0, 0, 0, 0], [0, 0, 0]),
        ("520us", [0, 0, 0, 0], [30, 0, 90]),
        ("650us", [0, 0, 0, 0], [50, 50, 150]),
        ("900us", [0, 0, 0, 0], [50, 100, 150]),
    ):
        trace = timeline(text.format(clock))
        assert trace.running.not_running_ns.tolist() == [ns * US for ns in idle]
        assert trace.off_gil.cpu_ns.tolist() == [ns * US for ns in off]
        assert check(trace) == []


def test_shares_add_up() -> None:
    """What does not divide evenly is given out in whole nanoseconds, and all of it."""
    trace = timeline("a: hold 0-1ns cpu=0- hold 2-3ns hold 4-5ns hold 6-7ns cpu=-6ns")
    assert trace.off_gil.cpu_ns.tolist() == [0, 1, 1]
    assert trace.running.not_running_ns.tolist() == [0, 0, 0, 0]


def test_only_between_readings() -> None:
    """Before the first reading of a thread and after the last nothing is known."""
    trace = timeline("a: hold 0-1ms hold 2-3ms cpu=0-1ms hold 4-5ms; b: hold 6-7ms cpu=3ms-")
    assert trace.running.not_running_ns.tolist() == [-1, 0, -1, -1]
    assert trace.off_gil.cpu_ns.tolist() == [-1, -1]


def test_lost_events() -> None:
    """Where events are missing between two readings nothing is known of what is around them."""
    trace = timeline(
        """
        a: hold 0-1ms cpu=0-1ms hold 2-3ms lost 4 hold 8-9ms tenure=5
        a: hold 10-11ms cpu=3ms-4ms hold 12-13ms cpu=4ms-5ms
        """
    )
    assert trace.running.not_running_ns.tolist() == [0, -1, -1, 0, 0]
    assert trace.off_gil.hold.tolist() == [0, 2, 3]
    assert trace.off_gil.cpu_ns.tolist() == [-1, -1, 0]
    assert check(trace) == []


def test_clocks_that_disagree_a_little() -> None:
    """A reading may be some nanoseconds off the hold it was made in."""
    trace = timeline(
        """
        a: hold 0-1ms cpu=0-1ms  hold 2.0000-3.0002ms
        a: event@3.0003ms kind=7 payload=2000000
        a: hold 10-11ms
        a: event@11.0001ms kind=7 payload=3000000
        """
    )
    assert trace.running.not_running_ns.tolist() == [0, 200, 0]
    assert trace.off_gil.cpu_ns.tolist() == [0, 0]


def test_a_wait_in_vain() -> None:
    """A stretch that ends in a wait in vain is known up to there, not what comes after."""
    trace = timeline("a: hold 0-1ms cpu=0-1ms wait 5ms- ; b: hold 4-6ms")
    assert trace.off_gil.end.tolist() == [5 * MS]
    assert trace.off_gil.cpu_ns.tolist() == [-1]
    trace = timeline(
        """
        a: hold 0-1ms cpu=0-1ms hold 2-3ms cpu=1500us-2500us
        a: wait 5ms- wait 7-8ms hold 8-9ms cpu=-9ms
        b: hold 4-6ms hold 6-8ms
        """
    )
    assert trace.off_gil.cpu_ns[trace.off_gil.thread == 0].tolist() == [500 * US, -1]
    assert check(trace) == []


def test_another_interpreters_gil() -> None:
    """Off one GIL a thread may hold another: what it uses there it uses off the first one."""
    trace = timeline(
        """
        a: hold 0-1ms cpu=0-1ms hold 2-6ms gil=1 cpu=1ms-4ms hold 9-10ms cpu=5ms-6ms
        a: hold 12-13ms gil=1 cpu=6ms-7ms
        """
    )
    off = trace.off_gil
    assert list(zip(off.gil.tolist(), off.ns.tolist(), off.cpu_ns.tolist(), strict=True)) == [
        (0, 8 * MS, 4 * MS),
        (1, 6 * MS, 2 * MS),
    ]
    assert off.kind.tolist() == [OffKind.NATIVE, OffKind.BLOCKED]
    assert check(trace) == []


def test_kinds() -> None:
    """The call decides if it is known what it does, then the clock; what is short stays open."""
    trace = timeline(
        """
        a: hold 0-1ms call=time.sleep cpu=0-1ms   hold 2-3ms call=x.y cpu=2ms-3ms
        a: hold 4-5ms call=x.y cpu=4ms-5ms        hold 6-7ms call=x.y cpu=5ms-6ms
        a: hold 7.1-8ms cpu=6ms-7ms               hold 8.1-9ms cpu=7.1ms-8ms
        a: hold 9-10ms call=zlib.compress         hold 11-12ms call=x.y hold 13-14ms
        """
    )
    kind = OffKind
    assert trace.off_gil.kind.tolist() == [
        *(kind.SLEEP, kind.NATIVE, kind.BLOCKED, kind.UNKNOWN),
        *(kind.NATIVE, kind.UNKNOWN, kind.NATIVE, kind.UNKNOWN),
    ]
    assert [trace.calls[call].name for call in trace.off_gil.call.tolist()] == [
        *("time.sleep", "x.y", "x.y", "x.y", "", "", "zlib.compress", "x.y")
    ]


def test_forced_out() -> None:
    """A thread that was forced out does nothing of its own, whatever its clock says."""
    trace = timeline(
        """
        a: hold 0-7ms check cpu=0-7ms wait 7.3-8ms hold 8-9ms cpu=7.3ms-8ms
        b: wait 1-7ms request@6ms hold 7-8ms
        """
    )
    assert trace.off_gil.kind.tolist() == [OffKind.SWITCH]
    assert trace.off_gil.cpu_ns.tolist() == [300 * US]


def test_kinds_without_readings() -> None:
    """Where nothing but the call is known, that decides."""
    trace = timeline("a: hold 0-1ms call=_thread.lock.acquire hold 2-3ms hold 4-5ms")
    assert trace.off_gil.kind.tolist() == [OffKind.LOCK, OffKind.UNKNOWN]


def test_a_thread_is_never_worked_on_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many turns one thread has, memory is needed for a few of them only."""
    recording = Recording()
    process = recording.process(100)
    thread = process.thread("A")
    for turn in range(2_000):
        process.acquire(thread, 100 * turn, turn + 1)
        process.release(thread, 100 * turn + 60)
    add_clocks(process, [3, 1], spacing_ns=1_000)
    sizes: list[int] = []
    share = running._share

    def noted(turns: running._Turns, readings: running._Readings) -> running._Shares:
        sizes.append(len(turns.hold))
        return share(turns, readings)

    monkeypatch.setattr(running, "_ROWS", 100)
    monkeypatch.setattr(running, "_share", noted)
    trace = build(recording.capture())
    assert not trace.running.not_running_ns[:-10].any()  # behind the last reading nothing is known
    assert sum(sizes) >= len(trace.holds)
    assert max(sizes) < 150
