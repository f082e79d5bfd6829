"""The recipes, run over a trace whose story is known."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from giltrace.errors import GiltraceError
from giltrace.export.registry import create
from giltrace.model.builder import build
from giltrace.viewer import recipes
from tests.support import stories
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline
from tests.support.trace_processor import Queries, missing, open_trace

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module", params=["perfetto", "chrome"])
def convoy(request: pytest.FixtureRequest) -> Iterator[Queries]:
    """A convoy of forty messages, in both timeline formats."""
    out = io.BytesIO()
    create(request.param).write(timeline(stories.convoy(40)), out)
    with open_trace(out.getvalue()) as queries:
        yield queries


def ask(queries: Queries, name: str) -> list[dict[str, object]]:
    """The rows of a recipe by column."""
    result = queries.run(recipes.get(name).sql)
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def test_holders(convoy: Queries) -> None:
    """The thread that computes had the GIL most of the time, and was made to let go each time."""
    first, second = ask(convoy, "holders")
    assert (first["thread"], first["holds"], first["forced"]) == ("Thread-1", 41, 40)
    assert (second["thread"], second["holds"], second["held_ms"]) == ("MainThread", 40, 40.0)


def test_waiters(convoy: Queries) -> None:
    """The server waited a switch interval for each message."""
    first = ask(convoy, "waiters")[0]
    assert (first["thread"], first["waits"], first["waited_ms"]) == ("MainThread", 40, 200.0)
    assert (first["mean_ms"], first["drop_requests"]) == (5.0, 40)


def test_blame(convoy: Queries) -> None:
    """The line that computes is named."""
    first = ask(convoy, "blame")[0]
    assert (first["waiter"], first["place"], first["waits"]) == (
        *("MainThread", "load.py:12 in spin"),
        40,
    )
    assert str(first["holder"]).startswith("Thread-1 ")


def test_stalls(convoy: Queries) -> None:
    """Waits with a drop request are told by where the thread had let go."""
    [*rows] = ask(convoy, "stalls")
    assert sum(int(str(row["stalls"])) for row in rows) == 40
    assert ("MainThread", "server.py:41 in handle", 39) in [
        (row["thread"], row["place"], row["stalls"]) for row in rows
    ]


def test_handoffs(convoy: Queries) -> None:
    """From one to the other and back, forced and voluntary."""
    assert [(r["from_thread"], r["cause"], r["times"]) for r in ask(convoy, "handoffs")] == [
        ("MainThread", "voluntary", 40),
        ("Thread-1", "forced", 40),
    ]


def test_worst(convoy: Queries) -> None:
    """The longest waits come with the slice and the time to find them at."""
    rows = ask(convoy, "worst")
    assert len(rows) == 20
    assert rows[0]["ts"] == 1_000_000
    assert rows[0]["waited_ms"] == 5.0


def test_findings(convoy: Queries) -> None:
    """The convoy's evidence, one fact a row."""
    rows = ask(convoy, "findings")
    assert ("waits", "39") in [(row["fact"], row["value"]) for row in rows]
    titles = {str(row["finding"]) for row in rows}
    assert "convoy: MainThread lost 195 ms to Thread-1, 5 ms at a time" in titles


def test_calls_and_idle_holds() -> None:
    """Calls are named with what they cost, and holds whose thread did not run are listed."""
    trace = timeline(
        "A: hold 0-1ms at a.py:1 in f call=_socket.socket.recv wait 2-4ms hold 4-9ms"
        " at a.py:9 in g cpu=0-1ms",
        "B: hold 1-4ms at b.py:1 in h",
    )
    out = io.BytesIO()
    create("perfetto").write(trace, out)
    with open_trace(out.getvalue()) as queries:
        call = ask(queries, "calls")[0]
        assert (call["call"], call["kind"], call["times"]) == ("socket.recv", "blocked", 1)
        assert (call["off_ms"], call["then_waited_ms"]) == (1.0, 2.0)
        [idle] = ask(queries, "idle")
        assert (idle["held_ms"], idle["cpu_ms"], idle["place"]) == (5.0, 1.0, "a.py:9 in g")


def test_tables_agree_with_the_trace() -> None:
    """The tables have a row for each hold, wait, stretch off the GIL and hand-off."""
    trace = build(synthetic(20_000))
    out = io.BytesIO()
    create("perfetto").write(trace, out)
    tables = {
        "gil_hold": trace.holds,
        "gil_wait": trace.waits,
        "gil_off": trace.off_gil,
        "gil_handoff": trace.handoffs,
    }
    with open_trace(out.getvalue()) as queries:
        for name, columns in tables.items():
            assert queries.value(f"select count(*) from {name}") == len(columns), name
    assert {name for name, _ in recipes.tables()} == {*tables, "gil_finding"}


def test_every_file_is_listed_and_described() -> None:
    """Each recipe says in its first line what it answers, in a sentence."""
    for recipe in recipes.all_recipes():
        assert recipe.help.endswith("."), recipe.name
    assert all(about.endswith(".") for _, about in recipes.tables())


def test_unknown_recipe() -> None:
    """The recipes there are, in the hint."""
    with pytest.raises(GiltraceError) as caught:
        recipes.get("../views")
    assert "holders" in caught.value.hint
