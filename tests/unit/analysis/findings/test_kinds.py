"""Each kind of finding: when it is made, and what it says."""

from __future__ import annotations

import pytest

from giltrace.analysis.calls import Source
from giltrace.analysis.findings.finding import Finding, Hog, HogPlace, Kind, LetGo, Victim
from giltrace.analysis.findings.registry import find_all
from giltrace.model import Trace, build
from tests.support import stories
from tests.support.timeline import recording, timeline

MS = 1_000_000


def kinds(trace: Trace) -> list[Kind]:
    """What is found, in order."""
    return [finding.kind for finding in find_all(trace)]


def only(trace: Trace) -> Finding:
    """The one finding there is."""
    (finding,) = find_all(trace)
    return finding


def test_a_convoy_has_victims_hogs_and_calls() -> None:
    """A server that waits a switch interval for each message: all there is to say about it."""
    trace = timeline(stories.convoy(messages=4))
    # The hog's own waits, of 1 ms each, are what is left.
    finding, rest = find_all(trace)
    place = trace.places.index(next(p for p in trace.places if p.basename == "load.py"))
    server = trace.places.index(next(p for p in trace.places if p.basename == "server.py"))
    assert finding.kind is Kind.CONVOY
    # The first wait of all followed no release.
    assert finding.victims == (Victim(0, waits=3, lost_ns=15 * MS, max_ns=5 * MS, acquires=4),)
    assert finding.hogs == (
        Hog(1, 3, 15 * MS, 27 * MS, None, None, (HogPlace(place, 0, holds=3, lost_ns=15 * MS),)),
    )
    assert finding.calls == (LetGo(0, "", Source.NONE, server, 3, 12 * MS, 15 * MS),)
    assert (finding.waits, finding.threads, finding.mean_ns) == (3, 1, 5 * MS)
    assert (finding.lost_ns, finding.shared_ns, finding.max_ns) == (15 * MS, 0, 5 * MS)
    assert (finding.interval_ns, finding.overdue_ns) == (15 * MS, 0)
    assert (finding.start_ns, finding.end_ns) == (11 * MS, 36 * MS)
    assert finding.evidence == (2, 4, 6)
    assert finding.confidence == 3 / 4
    assert (rest.kind, rest.waits, rest.lost_ns) == (Kind.CONTENDED, 5, 9 * MS)


def test_a_hog_is_named_by_the_line_that_cost_most() -> None:
    """However many expressions of that line it was made to let go at; the dearest stands for it."""
    spots = ["a.py:3:0-4", "a.py:3:6-9", "a.py:3:6-9", "a.py:7:0-4", "a.py:7:0-4", "a.py:3:11-14"]
    lines = ["cpu: hold 0-6ms at a.py:1 in f check"]
    for i, spot in enumerate(spots):
        t = 10 * i
        lines += [
            f"io: wait {t + 1}-{t + 6}ms request@{t + 6}ms hold {t + 6}-{t + 7}ms at s.py:4 in r",
            f"cpu: wait {t + 6}-{t + 7}ms hold {t + 7}-{t + 16}ms at {spot} in f check",
        ]
    lines.append("io: wait 61-66ms request@66ms hold 66-67ms at s.py:4 in r")
    trace = timeline(*lines)
    places = find_all(trace)[0].hogs[0].places
    assert [(str(trace.places[one.place]), one.holds) for one in places] == [
        ("a.py:3 in f", 4),
        ("a.py:7 in f", 2),
    ]
    assert trace.places[places[0].place].column == 6


def test_stalls_are_told_by_request() -> None:
    """Two recv and a send make a request, however often recv is called for it."""
    lines = []
    for i in range(6):
        t = 12_000 * i
        lines += [
            f"cpu: hold {t}us-{t + 5000}us at c.py:1 in spin check",
            f"io:  wait {t + 100}us-{t + 5000}us request@{t + 4900}us",
            f"io:  hold {t + 5000}us-{t + 5100}us at s.py:4 in read call=_socket.socket.recv",
            f"io:  hold {t + 5200}us-{t + 5300}us at s.py:4 in read call=_socket.socket.recv",
            f"io:  wait {t + 5350}us-{t + 11300}us request@{t + 10350}us",
            f"cpu: hold {t + 5300}us-{t + 11300}us at c.py:1 in spin check",
            f"io:  hold {t + 11300}us-{t + 11400}us at s.py:9 in send call=_socket.socket.send",
        ]
    trace = timeline(*lines)
    convoy, rest, needless = find_all(trace)
    (victim,) = convoy.victims
    assert victim.cycle is not None
    assert (victim.cycle.call, str(trace.places[victim.cycle.place])) == (
        "socket.recv", "s.py:4 in read",
    )  # fmt: skip
    assert (victim.cycle.iterations, victim.cycle.waits) == (5, 10)
    assert victim.cycle.waits_per_iteration == 2
    assert victim.cycle.lost_ns == 5 * (5_950_000 + 4_900_000)
    assert [(call.call, call.waits, call.off_ns) for call in convoy.calls] == [
        ("socket.recv", 6, 6 * 50_000),
        ("socket.send", 5, 5 * 700_000),
    ]
    assert (rest.kind, rest.lost_ns) == (Kind.CONTENDED, 4_900_000), "the wait before any release"
    # recv was over at once, send was not: another view of the same loss.
    assert needless.kind is Kind.NEEDLESS
    assert (needless.lost_ns, needless.shared_ns, needless.waits) == (0, 6 * 5_950_000, 6)
    assert needless.grounds.fitting_ns == 6 * 5_900_000


def test_threads_that_compute_take_turns() -> None:
    """Forced both ways is contention of equals, and no convoy."""
    finding = only(timeline(stories.TURNS))
    assert finding.kind is Kind.EQUALS
    assert [victim.thread for victim in finding.victims] == [1, 0]
    assert [hog.thread for hog in finding.hogs] == [0, 1]
    assert finding.lost_ns == (10_000 + 14_500) * MS // 1000
    assert finding.confidence == 5 / 6


def test_a_victim_of_two_hogs_is_in_a_convoy_and_the_hogs_are_equals() -> None:
    """Who waits for whom decides, thread by thread."""
    lines = []
    for i in range(8):
        t = 11 * i
        lines += [
            f"a: hold {t}-{t + 5}ms at a.py:1 in f check",
            f"b: wait {t}-{t + 5}ms request@{t + 5}ms hold {t + 5}-{t + 10}ms at b.py:1 in f check",
            f"a: wait {t + 5}-{t + 11}ms request@{t + 10}ms",
            f"io: wait {t + 1}-{t + 10}ms request@{t + 6}ms",
            f"io: hold {t + 10}-{t + 11}ms at s.py:4 in read call=_socket.socket.recv",
        ]
    lines.append("a: hold 88-89ms")
    equals, convoy = find_all(timeline(*lines))[:2]
    assert (equals.kind, convoy.kind) == (Kind.EQUALS, Kind.CONVOY)
    assert {victim.thread for victim in equals.victims} == {0, 1}
    assert [victim.thread for victim in convoy.victims] == [2]
    assert [(hog.thread, hog.lost_ns) for hog in convoy.hogs] == [(1, 35 * MS), (0, 28 * MS)]
    assert convoy.lost_ns == 7 * 9 * MS


def test_a_long_hold_is_named_with_its_line() -> None:
    """A C call that keeps the GIL for long after the drop request."""
    trace = timeline(stories.LONG_HOLD)
    finding = only(trace)
    (hog,) = finding.hogs
    assert finding.kind is Kind.LONG_HOLD
    assert [str(trace.places[place.place]) for place in hog.places] == ["regex.py:3 in search"]
    assert (finding.interval_ns, finding.overdue_ns) == (5 * MS, 694 * MS)
    assert (hog.lost_ns, hog.hold_ns, hog.not_running_ns) == (699 * MS, 700 * MS, None)
    assert finding.grounds.fitting_ns == 694 * MS


def test_a_long_hold_tells_blocking_from_computing() -> None:
    """The CPU clock of the holder says whether it ran; if not, the GIL was held idle."""
    text = """
        C:  hold 0-700ms at d.py:3 in load call=x.load cpu=0-{cpu}ms
        io: wait 1-700ms request@6ms hold 700-701ms at server.py:41 in handle
    """
    computing = only(timeline(text.replace("{cpu}", "690")))
    blocked, idle = find_all(timeline(text.replace("{cpu}", "7")))
    assert (computing.kind, computing.hogs[0].not_running_ns) == (Kind.LONG_HOLD, 10 * MS)
    assert (blocked.kind, blocked.hogs[0].not_running_ns) == (Kind.LONG_HOLD, 693 * MS)
    assert (idle.kind, idle.lost_ns, idle.shared_ns) == (Kind.HELD_IDLE, 0, 699 * MS)


def test_a_gil_that_is_held_idle() -> None:
    """A holder that does not run, and that nobody had asked yet."""
    finding = only(
        timeline("""
        C:  hold 0-4ms at d.py:3 in load cpu=0-1ms
        io: wait 1-4ms hold 4-5ms at server.py:41 in handle
    """)
    )
    assert (finding.kind, finding.lost_ns) == (Kind.HELD_IDLE, 3 * MS)
    assert (finding.hogs[0].not_running_ns, finding.hogs[0].hold_ns) == (3 * MS, 4 * MS)


@pytest.mark.parametrize(
    ("ends_ms", "ran_ms", "kind"),
    [(6, 2, Kind.CONVOY), (6, 0, Kind.HELD_IDLE), (10, 4, Kind.HELD_IDLE)],
    ids=["a switch interval", "blocked for one", "longer"],
)
def test_a_hog_that_runs_half_of_the_time(ends_ms: int, ran_ms: int, kind: Kind) -> None:
    """On a busy machine it still is a convoy, as long as the switch interval made the waits."""
    lines = []
    for i in range(6):
        t, cpu = 30 * i, i * ran_ms
        end = t + ends_ms
        lines += [
            f"hog: hold {t}-{end}ms at c.py:1 in spin check cpu={cpu}-{cpu + ran_ms}ms",
            f"io:  wait {t + 1}-{end}ms request@{t + 6}ms",
            f"io:  hold {end}-{end + 1}ms at s.py:4 in read call=_socket.socket.recv",
        ]
    assert kinds(timeline(*lines))[0] is kind


def test_an_urgent_thread_behind_a_less_urgent_one() -> None:
    """Waits on holds of lower priority are inversions; among equals they are no such thing."""
    finding = only(timeline(stories.INVERSION))
    assert (finding.kind, finding.lost_ns) == (Kind.INVERSION, 14 * MS)
    assert [victim.waits for victim in finding.victims] == [2]
    assert finding.grounds.fitting_ns == 14 * MS
    equal = stories.INVERSION.replace("payload=4294967295", "payload=0")
    assert Kind.INVERSION not in kinds(timeline(equal))
    urgent = stories.INVERSION.replace("payload=4294967295", "payload=1")
    assert Kind.INVERSION not in kinds(timeline(urgent))


def test_starvation_is_a_wait_of_many_rounds() -> None:
    """Others take turns, short ones, again and again; one thread waits through all of them."""
    lines = ["io: wait 1-62ms request@6ms hold 62-63ms at s.py:4 in read"]
    lines += [f"{'ab'[i % 2]}: hold {2 * i}-{2 * i + 2}ms at x.py:1 in f" for i in range(31)]
    finding = only(timeline(*lines))
    assert (finding.kind, finding.lost_ns) == (Kind.STARVATION, 61 * MS)
    assert finding.victims == (Victim(0, 1, 61 * MS, 61 * MS, acquires=1),)
    assert finding.grounds.fitting_ns == 56 * MS


def test_a_queue_of_waiters_does_not_starve() -> None:
    """Of twelve threads in a queue the last one waits long, but not beyond its share."""
    lines = ["t0: hold 0-5ms at a.py:1 in f check"]
    for i in range(1, 12):
        wait = f"wait {i * 10}us-{5 * i}ms request@{5 * i}ms"
        lines.append(f"t{i}: {wait} hold {5 * i}-{5 * i + 5}ms at a.py:1 in f check")
    assert Kind.STARVATION not in kinds(timeline(*lines))


def _pong(times: int, call: str = "_queue.SimpleQueue.get") -> Trace:
    lines = []
    for i in range(times):
        t = 10 * i
        lines += [
            f"a: hold {t}-{t + 4}us at p.py:5 in ping call={call}",
            f"b: wait {t + 3}-{t + 5}us hold {t + 5}-{t + 9}us at p.py:9 in pong call={call}",
        ]
    return timeline(*lines)


def test_two_threads_that_wake_each_other_up() -> None:
    """Voluntary hand-offs there and back at a high rate, through a queue."""
    trace = _pong(200)
    finding = only(trace)
    alternation = finding.alternation
    assert finding.kind is Kind.PING_PONG
    assert alternation is not None
    assert (alternation.times, alternation.busy_ns) == (398, 398 * 5_000)
    assert alternation.latency_ns == 398 * 1_000
    assert alternation.per_second == 200_000
    assert (finding.waits, finding.lost_ns, finding.confidence) == (200, 400_000, 398 / 399)
    assert {call.call for call in finding.calls} == {"SimpleQueue.get"}


def test_talking_to_a_socket_in_turns_is_no_ping_pong() -> None:
    """They do not wake each other up."""
    assert kinds(_pong(200, "_socket.socket.recv")) == [Kind.CONTENDED]


def test_a_few_turns_are_no_habit() -> None:
    """Less than a hundred alternations are not worth a word of their own."""
    assert kinds(_pong(40)) == [Kind.CONTENDED]


def test_what_nothing_explains_is_contended() -> None:
    """Ordinary holds of a few threads that get in each other's way."""
    finding = only(
        timeline("""
        a: hold 0-1ms at a.py:1 in f          wait 1.5-2ms hold 2-3ms at a.py:1 in f
        b: wait 0.2-1ms hold 1-2ms at b.py:1 in g
    """)
    )
    assert (finding.kind, finding.lost_ns, finding.waits) == (Kind.CONTENDED, 1_300_000, 2)


def test_healthy_says_why() -> None:
    """Hardly any wait: how much the GIL was held, and how long the longest wait was."""
    finding = only(timeline(stories.MILD))
    health = finding.health
    assert (finding.kind, finding.lost_ns) == (Kind.HEALTHY, 0)
    assert health is not None
    assert (health.acquires, health.waits, health.wait_ns) == (3, 1, 300_000)
    assert (health.longest_wait_ns, health.stalls) == (300_000, 0)
    assert health.utilisation == (900 + 1098 + 0.1) / 2000
    assert health.contention == 0.3 / 2000


def test_no_wait_is_healthy() -> None:
    """Also with a single thread."""
    assert kinds(timeline(stories.HEALTHY)) == [Kind.HEALTHY]
    assert kinds(timeline(stories.ONE_THREAD)) == [Kind.HEALTHY]


def test_nothing_is_said_where_nothing_was_seen() -> None:
    """An empty trace, an interpreter without a GIL, and inferred hand-offs are no good news."""
    assert find_all(timeline(stories.EMPTY)) == ()
    assert find_all(timeline(stories.NO_GIL)) == ()
    assert find_all(timeline("process 100 backend=portable\n" + stories.HEALTHY)) == ()


def test_lost_events_lower_the_confidence() -> None:
    """By the share of the events that are not on record."""
    finding = only(build(recording("process 100 lost=6\na: hold 0-1ms\nb: hold 2-3ms").capture()))
    assert (finding.grounds.recorded, finding.confidence) == (0.4, 2 / 3 * 0.4)


def test_what_lost_most_comes_first() -> None:
    """Of all GILs of all processes; those that are healthy at the end."""
    trace = timeline(
        "process 100", stories.HEALTHY, "process 200", stories.TURNS,
        "process 300", stories.convoy(40),
    )  # fmt: skip
    found = [(finding.gil, finding.kind) for finding in find_all(trace)]
    assert found == [
        (2, Kind.CONVOY), (2, Kind.CONTENDED), (1, Kind.EQUALS), (0, Kind.HEALTHY),
    ]  # fmt: skip


def test_starting_threads_that_compute_is_no_convoy() -> None:
    """Who starts them waits at each start; beside their own waits that is nothing."""
    lines = [
        "main: hold 0-1ms call=_thread.lock.acquire",
        "main: wait 2-6ms request@6ms hold 6-7ms call=_thread.lock.acquire",
        "main: wait 8-12ms request@12ms hold 12-13ms call=_thread.lock.acquire",
        "main: wait 14-18ms request@18ms hold 18-19ms call=_thread.lock.acquire",
        "a: hold 1-6ms check wait 6-7ms hold 7-12ms check wait 12-13ms hold 13-18ms check",
        "a: wait 18-19ms hold 19-24ms check",
        "b: wait 19-24ms request@24ms hold 24-29ms check",
    ]
    for t in range(29, 429, 10):
        lines += [
            f"a: wait {t - 5}-{t}ms request@{t}ms hold {t}-{t + 5}ms check",
            f"b: wait {t}-{t + 5}ms request@{t + 5}ms hold {t + 5}-{t + 10}ms check",
        ]
    assert kinds(timeline(*lines)) == [Kind.EQUALS]


def pool(call: str, hogs: str) -> list[str]:
    """A thread that stalls 30 times, after that call, behind one or two threads that compute."""
    lines = []
    for i in range(30):
        t = 11 * i
        lines += [
            f"a: hold {t}-{t + 5}ms at a.py:1 in f check",
            f"main: wait {t + 1}-{t + 10}ms request@{t + 6}ms",
            f"main: hold {t + 10}-{t + 11}ms at m.py:4 in collect call={call}",
            f"a: wait {t + 5}-{t + 11}ms request@{t + 10}ms" if hogs == "ab" else "",
            f"b: wait {t}-{t + 5}ms request@{t + 5}ms" if hogs == "ab" else "",
            f"{hogs[-1]}: hold {t + 5}-{t + 10}ms at b.py:1 in f check",
        ]
    return [*filter(None, lines), "a: hold 330-331ms"]


def test_collecting_from_a_pool_that_computes_is_no_convoy() -> None:
    """Who waits for results alone waits as long as each of the pool; for messages, it is one."""
    lock, recv = "_thread.lock.acquire", "_socket.socket.recv"
    assert Kind.CONVOY not in kinds(timeline(*pool(lock, "ab")))
    assert Kind.CONVOY in kinds(timeline(*pool(recv, "ab")))
    assert Kind.CONVOY in kinds(timeline(*pool(lock, "aa"))), "one thread is no pool"


def test_the_interval_of_the_time_counts() -> None:
    """A stall is as short as the switch interval, down to what the kernel needs to wake threads."""
    short = "process 100 interval=1us\n" + stories.convoy(4).replace("ms", "us")
    assert kinds(timeline(short)) == [Kind.CONTENDED]
    slow = stories.convoy(4).replace("ms", "s")
    assert kinds(timeline("process 100 interval=5s\n" + slow))[0] is Kind.CONVOY
    assert kinds(timeline("process 100 interval=5ms\n" + slow))[0] is Kind.STARVATION
