"""One GIL under other rules: small cases, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from giltrace.analysis.whatif.play import play
from giltrace.analysis.whatif.predict import AS_RECORDED, automatic, predict, remedies, worst_gil
from giltrace.analysis.whatif.replies import _late
from giltrace.analysis.whatif.terms import Luck, Policy, Race, Timings, Work, Workload
from giltrace.analysis.whatif.work import workload
from giltrace.model import Trace
from tests.support import stories
from tests.support.timeline import timeline

US, MS = 1_000, 1_000_000
IO, HOG, BG = 0, 1, 2

EXACT = Timings(handoff_ns=0, wake_ns=0, timer_ns=0)
REAL = Timings(handoff_ns=10 * US, wake_ns=20 * US, timer_ns=0, check_ns={HOG: 5 * US})


def work(
    thread: int,
    *phases: tuple[int, int],
    start: int = 0,
    race: Race = Race.NONE,
    latency: int = 0,
    endless: bool = False,
) -> Work:
    """A thread with these demands and times off the GIL, all its races going the same way."""
    count = len(phases)
    return Work(
        thread=thread,
        start=start,
        demand=[demand for demand, _ in phases],
        off=[off for _, off in phases],
        race=[int(race)] * count,
        latency=[latency] * count,
        sends=[False] * count,
        think=[-1] * count,
        bound=[-1] * count,
        endless=endless,
    )


def load(*works: Work, timings: Timings = REAL, victim: int = IO) -> Workload:
    """A workload with a switch interval of 5 ms."""
    return Workload(0, 5 * MS, 0, 0, works, timings, victim, (HOG,))


SPIN = work(HOG, (0, 0), endless=True)


def test_beside_a_hog_each_return_costs_an_interval() -> None:
    """The interval, the check, the hand-off: nothing else, and the hog has all the rest."""
    server = work(IO, (1 * MS, 2 * MS), (1 * MS, 0), start=1 * MS)
    played = play(load(SPIN, server), AS_RECORDED, holds=True)
    assert played.holds == (
        (HOG, 0, 6_005 * US),
        (IO, 6_015 * US, 7_015 * US),
        (HOG, 7_035 * US, 14_020 * US),
        (IO, 14_030 * US, 15_030 * US),
    )
    assert played.wall_ns == 15_030 * US
    io, hog = played.of(IO), played.of(HOG)
    assert (io.waits, io.wait_ns, io.wait_mean_ns) == (2, 10_030 * US, 5_015 * US)
    assert (io.hold_ns, io.phases, io.wait_p99_ns) == (2 * MS, 2, 5_015 * US)
    assert io.lost == 10_030 / 14_030
    assert hog.hold_ns == 12_990 * US
    assert hog.progress == 12_990 / 15_030


def test_a_shorter_interval_is_a_shorter_wait() -> None:
    """Only the rounds get shorter."""
    server = work(IO, (100 * US, 2 * MS), (100 * US, 0), start=1 * MS)
    played = play(load(SPIN, server), Policy("short", 500 * US))
    assert played.of(IO).wait_ns == 2 * 515 * US


def test_an_urgent_waiter_asks_at_once() -> None:
    """It waits for the next check and the hand-off, and for no interval."""
    server = work(IO, (1 * MS, 2 * MS), (1 * MS, 0), start=1 * MS)
    played = play(load(SPIN, server), Policy("urgent", priorities={IO: 1}))
    assert played.of(IO).wait_ns == 2 * 15 * US
    other = play(load(SPIN, server), Policy("urgent hog", priorities={HOG: 1}))
    assert other.of(IO).wait_ns > 2 * 5 * MS


def test_without_the_hog_nobody_waits() -> None:
    """In another process or without a GIL everyone has what they want when they want it."""
    server = work(IO, (1 * MS, 2 * MS), (1 * MS, 0), start=1 * MS)
    for policy in (Policy("out", elsewhere=frozenset({HOG})), Policy("free", gil=False)):
        played = play(load(SPIN, server), policy)
        assert played.wall_ns == 5 * MS
        assert (played.of(IO).waits, played.of(IO).hold_ns) == (0, 2 * MS)
        assert played.of(HOG).progress == 1.0


def test_a_convoy() -> None:
    """Who loses each race pays an interval for each of its short calls; who wins pays none."""
    phases = [(10 * US, 30 * US)] * 4
    lost = work(IO, *phases, start=1 * MS, race=Race.LOST, latency=8 * US)
    played = play(load(SPIN, lost), AS_RECORDED, holds=True)
    assert [end for thread, _, end in played.holds if thread == IO] == [
        6_025 * US,
        6_025 * US + 5_055 * US,
        6_025 * US + 2 * 5_055 * US,
        6_025 * US + 3 * 5_055 * US,
    ]
    # The hog takes the GIL 8 µs after each release, 22 µs before it is asked for.
    assert played.holds[2][:2] == (HOG, 6_033 * US)
    won = replace(lost, race=[int(Race.WON)] * 4)
    assert play(load(SPIN, won), AS_RECORDED).of(IO).waits == 1
    assert play(load(SPIN, lost), AS_RECORDED, luck=Luck.GOOD).of(IO).waits == 1
    assert play(load(SPIN, won), AS_RECORDED, luck=Luck.BAD).of(IO).waits == 4


@pytest.mark.parametrize(("off", "waits"), [(19 * US, 1), (21 * US, 2)])
def test_a_race_that_nobody_saw_is_one_of_latencies(off: int, waits: int) -> None:
    """Who is back before the waiter has woken up has the GIL again."""
    server = work(IO, (50 * US, off), (50 * US, 0), start=1 * MS)
    assert play(load(SPIN, server), AS_RECORDED).of(IO).waits == waits


def test_who_wakes_up_too_late_waits_for_another_round() -> None:
    """A waiter that was signalled and finds the GIL taken has its whole interval before it."""
    server = work(IO, (1 * MS, 10 * US), (9 * MS, 0))
    other = work(BG, (1 * MS, 0))
    played = play(load(server, other, victim=-1), AS_RECORDED, holds=True)
    # Woken at 1.02 ms it asks at 6.02 ms; the usual check takes 5 µs.
    assert played.holds[1] == (IO, 1_010 * US, 6_025 * US)
    assert played.of(BG).wait_ns == 6_035 * US


def test_ping_pong() -> None:
    """Two threads that compute take turns of one interval."""
    both = (work(IO, (20 * MS, 0)), work(BG, (20 * MS, 0)))
    exact = replace(EXACT, check_ns={IO: 0, BG: 0})
    played = play(load(*both, timings=exact, victim=-1), AS_RECORDED, holds=True)
    assert played.holds == tuple(
        (BG if turn % 2 else IO, turn * 5 * MS, (turn + 1) * 5 * MS) for turn in range(8)
    )


def test_a_switch_during_a_round_puts_the_request_off() -> None:
    """Who sees the GIL change hands during its round does not ask at the end of it."""
    exact = replace(EXACT, check_ns={HOG: 0, IO: 0, BG: 0}, return_ns={HOG: 100 * MS})
    early, late = work(IO, (1 * MS, 0), start=1 * MS), work(BG, (1 * MS, 0), start=2 * MS)
    both = load(SPIN, early, late, timings=exact, victim=BG)
    played = play(both, AS_RECORDED, holds=True)
    # At 7 ms the round of BG ends; it was signalled then, and the GIL is its own.
    assert played.holds[:3] == (
        (HOG, 0, 6 * MS),
        (IO, 6 * MS, 7 * MS),
        (BG, 7 * MS, 8 * MS),
    )
    computing = replace(early, demand=[10 * MS])
    played = play(load(SPIN, computing, late, timings=exact, victim=BG), AS_RECORDED, holds=True)
    # Not at 7 ms, but a whole round later.
    assert played.holds[1:3] == ((IO, 6 * MS, 12 * MS), (BG, 12 * MS, 13 * MS))


def test_an_answer_comes_after_the_question() -> None:
    """A client thinks while the server waits for the GIL: what is waited for twice counts once."""
    server = replace(
        work(IO, (1 * MS, 50 * US), (1 * MS, 10 * US), (1 * MS, 0)),
        sends=[True, False, False],
        think=[-1, 4 * MS, -1],
    )
    alone = play(load(server), AS_RECORDED)
    # The send at 1 ms is answered at 5 ms.
    assert alone.wall_ns == 6 * MS
    beside = play(load(server, replace(SPIN, start=1)), AS_RECORDED, holds=True)
    # Here the answer is there when the server has the GIL back, and the receive takes 10 µs.
    assert beside.of(IO).waits == 1
    assert beside.holds[2:] == (
        (IO, 6_065 * US, 7_065 * US),
        (IO, 7_075 * US, 8_075 * US),
    )


def test_a_reply_that_came_late_is_late_in_the_recording_alone() -> None:
    """Under other rules the machine need not have anybody wait again, but with bad luck it does."""
    server = replace(
        work(IO, (1 * MS, 50 * US), (1 * MS, 10 * US), (1 * MS, 0)),
        sends=[True, False, False],
        think=[-1, 4 * MS, -1],
        late=[0, 5 * MS, 0],
    )
    assert play(load(server), AS_RECORDED).wall_ns == 11 * MS
    apart = Policy("apart", elsewhere=frozenset({HOG}))
    assert play(load(server), apart).wall_ns == 6 * MS
    assert play(load(server), apart, luck=Luck.BAD).wall_ns == 11 * MS


@pytest.mark.parametrize(
    ("some", "late"),
    [((6.2,), True), ((6.2, 9.1), True), ((1.2,), False), ((100.0,), False)],
    ids=["a turn of the kernel", "two of them", "nothing unusual", "a client that slept"],
)
def test_replies_are_late_if_most_take_the_same(some: tuple[float, ...], late: bool) -> None:
    """A few turns of the kernel more than usual, where usual is a narrow range."""
    usual = np.linspace(0.9, 1.1, 21)
    think = (np.concatenate((usual, some)) * MS).astype(np.int64)
    median = int(np.percentile(think, 50))
    expected = [ns - median if late else 0 for ns in think[21:].tolist()]
    assert _late(think)[:21].tolist() == [0] * 21
    assert _late(think)[21:].tolist() == expected


def test_replies_that_differ_anyway_are_not_late() -> None:
    """Nor are so few that nothing is usual."""
    assert not _late((np.linspace(0, 10, 30) * MS).astype(np.int64)).any()
    assert not _late(np.array([1, 1, 1, 1, 6]) * MS).any()


PERIOD = 13_050


def convoy() -> Trace:
    """A server beside a hog: it sends at 0.1 ms, and has the answer at 8 ms of each 13.05 ms."""
    lines = []
    for number in range(3):
        at = [number * PERIOD + us for us in (0, 100, 150, 5150, 5200, 5300, 8000, 13000, 13050)]
        lines += [
            f"io: hold {at[0]}-{at[1]}us at s.py:1 call=_socket.socket.sendall",
            f"io: wait {at[2]}-{at[4]}us request@{at[3]}us",
            f"io: hold {at[4]}-{at[5]}us at s.py:2 call=_socket.socket.recv",
            f"io: wait {at[6]}-{at[8]}us request@{at[7]}us",
        ]
        at = [number * PERIOD + us for us in (110, 5180, 5220, 5310, 13030, 13070, 13160)]
        lines += [
            f"cpu: hold {at[0]}-{at[1]}us at c.py:1 check wait {at[2]}-{at[3]}us",
            f"cpu: hold {at[3]}-{at[4]}us at c.py:1 check wait {at[5]}-{at[6]}us",
        ]
    end = 3 * PERIOD
    lines += [f"io: hold {end}-{end + 100}us", f"cpu: hold {end + 110}-{end + 5000}us"]
    return timeline(*lines)


def test_what_threads_want_is_taken_from_the_trace() -> None:
    """Forced ends are no ends, races went as they did, and answers count from the send."""
    found = workload(convoy(), 0)
    # From the end of the first receive to the end of the last.
    assert (found.start_ns, found.end_ns, found.cycles) == (8 * MS, 34_100 * US, 2)
    assert (found.victim, found.hogs, found.interval_ns, found.notes) == (0, (1,), 5 * MS, ())
    cpu, io = found.works
    assert io.demand == [100 * US] * 4
    assert (io.race, io.latency) == ([Race.LOST] * 4, [10 * US] * 4)
    assert (io.sends, io.cycles) == ([True, False] * 2, 2)
    # A receive takes 10 µs unless it has to wait for its answer.
    assert io.off == [50 * US, 10 * US] * 2
    assert io.think == [-1, 7_900 * US] * 2
    assert io.bound == [-1] * 4
    assert (cpu.start, len(cpu.demand), cpu.endless) == (0, 1, True)
    assert found.timings == Timings(
        handoff_ns=20 * US,
        wake_ns=10 * US,
        timer_ns=0,
        check_ns={1: 30 * US},
        return_ns={1: 20 * US},
    )


def test_what_was_there_before_anyone_looked_is_not_known() -> None:
    """If no receive ever waits only a bound is known of the outside world, and that is said."""
    trace = timeline(stories.UNSEEN)
    found = workload(trace, 0)
    assert found.works[0].bound == [-1, 7_100 * US] * 2
    assert found.works[0].think == [-1, 0] * 2
    assert len(found.notes) == 1
    told = workload(trace, 0, think_ns=1 * MS)
    assert told.works[0].think == [-1, 1 * MS] * 2
    assert told.notes == ()


def test_remedies() -> None:
    """The recording first, with its error; then the usual ones, each better than it."""
    trace = convoy()
    found = remedies(trace)
    assert {p.recorded_ns for p in found} == {PERIOD * US}
    # The answer comes 7.9 ms after the send, so what is left is the wait before that.
    assert {p.policy.name: (p.cycle_ns, p.wait_ns) for p in found} == {
        "as recorded": (PERIOD * US, 2 * 5_050 * US),
        "switch interval 1 ms": (9_050 * US, 2 * 1_050 * US),
        "switch interval 0.5 ms": (8_550 * US, 2 * 550 * US),
        "priorities, automatic": (8_050 * US, 2 * 50 * US),
        "computing in another process": (8_000 * US, 0),
        "no GIL": (8_000 * US, 0),
    }
    assert {p.error for p in found} == {0.0}
    assert all(p.low_ns == p.cycle_ns == p.high_ns for p in found)
    recorded, *_, apart, free = found
    assert recorded.hog_recorded == 12_790 / PERIOD
    assert recorded.hog_progress == 12_790 / PERIOD
    assert apart.hog_progress == free.hog_progress == 1.0
    assert apart.ratio == 8_000 / PERIOD
    assert automatic(workload(trace, 0)) == {0: 1}


def test_nobody_waits_nothing_to_remedy() -> None:
    """Without a wait there is no worst GIL and no remedy."""
    trace = timeline("io: hold 0-1ms hold 2-3ms")
    assert worst_gil(trace) is None
    assert remedies(trace) == []
    assert remedies(trace, gil=0) == []
    assert remedies(timeline("")) == []


def test_a_wish_of_ones_own() -> None:
    """Any policy can be predicted for what was found in a trace."""
    trace = convoy()
    (longer,) = predict(trace, workload(trace, 0), [Policy("longer", 20 * MS)])
    # The answer is always there, so both waits count, and the calls between them.
    assert longer.cycle_ns == 2 * 20_050 * US + 2 * 100 * US + 50 * US + 10 * US
