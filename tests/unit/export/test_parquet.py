"""Parquet, read back by other people's readers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from giltrace.model.builder import build
from giltrace.model.trace import Trace
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

STORY = (
    "main: hold 0-7ms at /srv/spin.py:12 in spin check wait 7-8ms hold 8-9ms at spin.py:12 in spin",
    "io: wait 1-7ms request@6ms hold 7-8ms at server.py:41 in f call=_socket.socket.recv",
    "io: hold 9-10ms span 9-10ms at server.py:40 in handle",
)


def exported(trace: Trace) -> Any:
    """The table, as pyarrow reads it."""
    from giltrace.export.parquet import ParquetExporter

    out = io.BytesIO()
    ParquetExporter().write(trace, out)
    return pq.read_table(io.BytesIO(out.getvalue()))


def rows(trace: Trace, kind: str) -> list[dict[str, Any]]:
    """What is known of each row of a kind."""
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in exported(trace).to_pylist()
        if row["kind"] == kind
    ]


def test_every_kind_of_row() -> None:
    """Holds, waits, stretches off the GIL, hand-offs, drop requests and functions of one story."""
    trace = timeline(*STORY)
    main = {"pid": 100, "tid": 100, "thread": "main"}
    io_ = {"pid": 100, "tid": 101, "thread": "io"}
    spin = {"file": "/srv/spin.py", "line": 12, "function": "spin"}
    serve = {"file": "server.py", "line": 41, "function": "f"}
    assert rows(trace, "hold")[0] == {
        "kind": "hold",
        "gil": 0,
        "start_ns": 0,
        "end_ns": 7_000_000,
        "cause": "forced",
        **main,
        **spin,
    }
    assert rows(trace, "wait")[0] == {
        "kind": "wait",
        "gil": 0,
        "start_ns": 1_000_000,
        "end_ns": 7_000_000,
        "requests": 1,
        "other_tid": 100,
        "other_thread": "main",
        **io_,
        **spin,
    }
    assert {
        "kind": "off",
        "gil": 0,
        "start_ns": 8_000_000,
        "end_ns": 9_000_000,
        "call": "socket.recv",
        "off_kind": "blocked",
        **io_,
        **serve,
    } in rows(trace, "off")
    assert rows(trace, "handoff")[1] == {
        "kind": "handoff",
        "gil": 0,
        "start_ns": 8_000_000,
        "end_ns": 8_000_000,
        "cause": "voluntary",
        "call": "socket.recv",
        "other_tid": 100,
        "other_thread": "main",
        **io_,
        **serve,
    }
    assert rows(trace, "drop_request") == [
        {
            "kind": "drop_request",
            "gil": 0,
            "start_ns": 6_000_000,
            "end_ns": 6_000_000,
            "other_tid": 100,
            "other_thread": "main",
            **io_,
        }
    ]
    assert rows(trace, "function") == [
        {
            "kind": "function",
            "start_ns": 9_000_000,
            "end_ns": 10_000_000,
            "file": "server.py",
            "line": 40,
            "function": "handle",
            **io_,
        }
    ]


def test_large_trace_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many pieces, there are as many rows and nanoseconds as in the trace."""
    monkeypatch.setattr("giltrace.export.rows.CHUNK", 1000)
    trace = build(synthetic(20_000))
    table = exported(trace)
    for kind, columns in (
        ("hold", trace.holds),
        ("wait", trace.waits),
        ("off", trace.off_gil),
        ("handoff", trace.handoffs),
        ("drop_request", trace.drop_requests),
    ):
        mine = [row == kind for row in table["kind"].to_pylist()]
        assert sum(mine) == len(columns), kind
    holds = table.filter(pq.filters_to_expression([("kind", "=", "hold")]))
    ns = sum(holds["end_ns"].to_pylist()) - sum(holds["start_ns"].to_pylist())
    assert ns == int(trace.holds.ns.sum())


def test_facts_about_the_recording() -> None:
    """Notes and lost events are in the file's own metadata."""
    trace = timeline("process 100 lost=17", "A: hold 0-1ms")
    facts = json.loads(exported(trace).schema.metadata[b"giltrace"])
    assert (facts["lost_events"], facts["notes"]) == (17, list(trace.notes))


def test_an_empty_trace_has_all_columns() -> None:
    """Also without rows a file can be read together with others."""
    table = exported(build(Recording().capture()))
    assert table.num_rows == 0
    assert table.schema.equals(exported(timeline(*STORY)).schema)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_safe_to_show(name: str) -> None:
    """Whatever a name is, it can be written, and read as what is shown elsewhere."""
    recording = Recording()
    process = recording.process(100)
    thread = process.thread(name)
    process.acquire(thread, 1, 1)
    process.release(thread, 2, Spot(name, 3, name))
    [hold] = rows(build(recording.capture()), "hold")
    assert hold["thread"].isprintable()
    assert hold.get("function", "").isprintable()


def test_many_captures_in_one_question(tmp_path: Path) -> None:
    """DuckDB asks all files of a folder at once."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    from giltrace.export.parquet import ParquetExporter

    for number in range(2):
        with (tmp_path / f"{number}.parquet").open("wb") as out:
            ParquetExporter().write(timeline(*STORY), out)
    found = duckdb.sql(
        f"select thread, count(*), sum(end_ns - start_ns) from '{tmp_path}/*.parquet'"
        " where kind = 'wait' group by 1 order by 1"
    ).fetchall()
    assert found == [("io", 2, 12_000_000), ("main", 2, 2_000_000)]
