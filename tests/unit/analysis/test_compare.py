"""Two recordings side by side: by name, by second, by iteration."""

from __future__ import annotations

from giltrace.analysis.compare import Rates, Round, Side, Status, compare
from giltrace.analysis.findings.finding import Kind
from giltrace.model import Trace
from tests.support import stories
from tests.support.timeline import timeline

MS = 1_000_000


def server(*, wait_us: int, rounds: int, line: int = 4, thread: str = "io") -> Trace:
    """A server that receives and sends, and waits so long for the GIL after each receive."""
    lines, t = [], 0
    for _ in range(rounds):
        back = t + 150 + wait_us
        lines += [
            f"{thread}: hold {t}-{t + 100}us at /srv/s.py:{line} in read call=_socket.socket.recv",
            f"{thread}: wait {t + 150}-{back}us hold {back}-{back + 100}us"
            f" at /srv/s.py:9 in send call=_socket.socket.send",
            f"cpu: hold {t + 110}-{back}us at c.py:1 in spin check",
        ]
        t = back + 200
    return timeline(*lines)


def test_rates_are_those_of_each_name() -> None:
    """Threads are matched by name, whatever their order and their ids; others stand alone."""
    before = timeline("a: hold 0-4ms; b: wait 1-4ms hold 4-5ms; gone: hold 6-7ms; b: hold 9-10ms")
    after = timeline("b: hold 0-1ms; new: hold 2-3ms; a: hold 4-20ms")
    changes = {change.name: change for change in compare(before, after).threads}
    assert list(changes) == ["a", "b", "gone", "new"]
    assert changes["b"].before == Rates(1, 10 * MS, 2 * MS, 3 * MS, 2, 1, 0, 3 * MS, 3 * MS, False)
    assert changes["b"].after == Rates(1, 20 * MS, MS, 0, 1, 0, 0, 0, 0, False)
    assert changes["b"].before.share(3 * MS) == 0.3
    assert changes["b"].before.per_second(1) == 100
    assert (changes["gone"].after, changes["new"].before) == (None, None)


def test_threads_of_one_name_are_added_up() -> None:
    """The workers of two processes count as one name."""
    both = timeline(
        "process 1\nw: hold 0-1ms", "process 2\nw: hold 0-2ms\nx: wait 1-2ms hold 2-3ms"
    )
    (first, *_rest) = compare(both, both).threads
    assert first.before is not None
    assert (first.name, first.before.threads, first.before.hold_ns) == ("w", 2, 3 * MS)


def test_an_iteration_is_found_in_both_although_its_line_has_moved() -> None:
    """Before it is slow and long on record, after it is fast, short, and not in a convoy at all."""
    before = server(wait_us=5000, rounds=40)
    after = server(wait_us=50, rounds=10, line=7)
    comparison = compare(before, after)
    (change,) = comparison.rounds
    assert (change.name, change.call, change.where) == ("io", "socket.recv", ("s.py", "read"))
    assert change.before == Round(39, 5_350_000, 200_000, 5_000_000, 1.0)
    assert change.after == Round(9, 400_000, 200_000, 50_000, 1.0)


def test_what_comes_now_and_then_does_not_end_an_iteration() -> None:
    """A line printed once or twice between naps leaves each of them one; many make longer ones."""
    nap, say = "at n.py:3 in nap call=time.sleep", "at n.py:9 in say call=posix.write"

    def iterations(*printed: int) -> int:
        naps = [f"hold {at}-{at + 1}ms {nap}" for at in range(0, 100, 5)]
        lines = [f"hold {at + 2}-{at + 3}ms {say}" for at in printed]
        ordered = sorted((*naps, *lines), key=lambda one: int(one.split()[1].split("-")[0]))
        found = Side(timeline(f"io: {' '.join(ordered)}")).round(
            "io", "time.sleep", ("n.py", "nap")
        )
        return found.iterations if found is not None else 0

    assert iterations() == iterations(45) == iterations(20, 70) == 19
    assert iterations(5, 25, 45, 65) == 4


def test_what_only_one_side_does_again_and_again() -> None:
    """An iteration that begins elsewhere is not compared with one that does not."""
    (change,) = compare(server(wait_us=5000, rounds=9), timeline("io: hold 0-1ms")).rounds
    assert change.before is not None
    assert change.after is None
    assert compare(timeline("io: hold 0-1ms"), timeline("io: hold 0-1ms")).rounds == ()


def test_findings_are_gone_new_less_more_or_the_same() -> None:
    """By kind and victim; good news is no finding."""

    def statuses(before: Trace, after: Trace) -> dict[Kind, Status]:
        found = {}
        for change in compare(before, after).findings:
            one = change.before or change.after
            assert one is not None
            found[one.kind] = change.status
        return found

    convoy, healthy = server(wait_us=5000, rounds=40), timeline(stories.HEALTHY)
    assert statuses(convoy, healthy)[Kind.CONVOY] is Status.GONE
    assert statuses(healthy, convoy)[Kind.CONVOY] is Status.NEW
    assert statuses(convoy, convoy)[Kind.CONVOY] is Status.SAME
    rare = timeline(stories.needless(6), "late: hold 90-91ms")
    often = timeline(stories.needless(6))
    assert statuses(rare, often)[Kind.CONVOY] is Status.MORE
    assert statuses(often, rare)[Kind.CONVOY] is Status.LESS
    assert statuses(healthy, healthy) == {}


def test_another_victim_is_another_finding() -> None:
    """The convoy of one thread is gone, that of another one is new."""
    before = server(wait_us=5000, rounds=40)
    after = server(wait_us=5000, rounds=40, thread="other")
    changes = compare(before, after).findings
    convoys = [c.status for c in changes if (c.before or c.after).kind is Kind.CONVOY]  # type: ignore[union-attr]
    assert sorted(status.value for status in convoys) == ["gone", "new"]


def test_empty_recordings() -> None:
    """Nothing compares to nothing."""
    comparison = compare(timeline(stories.EMPTY), timeline(""))
    assert (comparison.threads, comparison.rounds, comparison.findings) == ((), (), ())
