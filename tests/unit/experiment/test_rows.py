"""From legs to rows and to JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from giltrace.experiment import ccbench, document, rows
from giltrace.experiment.ccbench import Measure
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import Leg, Settings

SCHEMA = {
    "scenario": str,
    "interpreter": str,
    "load": int,
    "load_kind": str,
    "switch_interval_s": float,
    "policy": str,
    "requests": int,
    "size": int,
    "sleep_ms": float,
    "seconds": float,
    "ms_per_request": float,
    "p50_ms": float,
    "p99_ms": float,
    "max_ms": float,
    "slowdown": float,
    "cpu_rate_ratio": float,
}


def ran(leg: Leg, ms: float, **more: Any) -> Finished[Leg]:
    """A leg whose requests took so many milliseconds."""
    result = {
        "requests": 100,
        "seconds": ms / 10,
        "ms_per_request": ms,
        "p50_ms": ms,
        "p99_ms": ms,
        "max_ms": ms,
        "switch_interval_ns": 5_000_000,
        "timed_out": False,
        "load_kept": None,
        "unloaded_rate": None,
    }
    return Finished(leg, {**result, **more}, gil=True)


ALONE = Leg("blocking", "CPython 3.11.7")
LOADED = Leg("blocking", "CPython 3.11.7", 1, "spin")


def test_repetitions_are_one_row() -> None:
    """Medians, the greatest of the greatest, and the slow-down between medians."""
    again = [Leg(**{**vars(LOADED), "repeat": number}) for number in (2, 3)]
    found = rows.rows([ran(ALONE, 1.0), ran(LOADED, 9.0), ran(again[0], 10.0), ran(again[1], 30.0)])
    assert [ALONE, LOADED] == [row.leg for row in found]
    assert 10.0 == found[1].figures["ms_per_request"]
    assert 30.0 == found[1].figures["max_ms"]
    assert (1.0, 10.0) == (found[0].slowdown, found[1].slowdown)
    assert 3 == found[1].to_dict()["repeats"]


@pytest.mark.parametrize(
    "other",
    [
        Leg("nonblocking", "CPython 3.11.7"),
        Leg("blocking", "PyPy 7.3.11 (3.9.16)"),
        Leg("blocking", "CPython 3.11.7", switch_interval_s=0.001),
    ],
)
def test_compared_with_its_like_only(other: Leg) -> None:
    """Another server, interpreter or switch interval is nothing to compare with."""
    assert rows.rows([ran(other, 1.0), ran(LOADED, 9.0)])[1].slowdown is None


def test_what_the_work_kept() -> None:
    """Each leg's own measure of the unloaded work may be off; the median of all is used."""
    others = [Leg(**{**vars(LOADED), "repeat": number}) for number in (2, 3)]
    found = rows.rows(
        [
            ran(LOADED, 9.0, load_kept=0.5, unloaded_rate=100.0),
            ran(others[0], 9.0, load_kept=50.0, unloaded_rate=1.0),
            ran(others[1], 9.0, load_kept=0.5, unloaded_rate=100.0),
        ]
    )
    assert 0.5 == found[0].cpu_rate_ratio


def test_work_in_c_is_measured_by_work_in_c() -> None:
    """The C server's threads run far faster than Python's, but its controls do not."""
    in_c = Leg("c-zmq", "CPython 3.11.7", 1, "spin")
    control = Leg("c-zmq", "CPython 3.11.7", 1, "process")
    control_python = Leg("blocking", "CPython 3.11.7", 1, "process")
    found = rows.rows(
        [
            ran(LOADED, 9.0, load_kept=0.5, unloaded_rate=100.0),
            ran(in_c, 1.0, load_kept=0.9, unloaded_rate=5000.0),
            ran(control, 1.0, load_kept=1.0, unloaded_rate=100.0),
            ran(control_python, 1.0, load_kept=0.5, unloaded_rate=300.0),
        ]
    )
    assert [0.5, 0.9, 0.5, 0.75] == [row.cpu_rate_ratio for row in found]


def test_a_leg_that_did_not_run() -> None:
    """A row says why, has no figures, and is nothing to compare with."""
    found = rows.rows([Finished(ALONE, error="no such thing"), ran(LOADED, 9.0)])
    first, second = (row.to_dict() for row in found)
    assert ("no such thing", None, None) == (first["error"], first["seconds"], first["slowdown"])
    assert (None, 9.0, None) == (
        second["error"],
        second["ms_per_request"],
        second["slowdown"],
    )


def test_one_repetition_that_failed() -> None:
    """The figures of the others stand, and its reason is kept with it."""
    other = Leg(**{**vars(LOADED), "repeat": 2})
    (row,) = rows.rows([ran(LOADED, 9.0), Finished(other, error="lost")])
    value = row.to_dict()
    assert (None, 1, 9.0) == (value["error"], value["repeats"], value["ms_per_request"])
    assert [None, "lost"] == [leg["error"] for leg in value["legs"]]


def test_a_leg_that_was_cut_short() -> None:
    """Its row says that the times are bounds, and how many requests there were."""
    (row,) = rows.rows([ran(LOADED, 500.0, timed_out=True, requests=3)])
    value = row.to_dict()
    assert (True, 3) == (value["timed_out"], value["requests"])


def test_the_talk_is_only_for_what_it_measured() -> None:
    """Other loads, kinds and switch intervals have no figure to stand beside."""
    legs = [
        ALONE,
        LOADED,
        Leg("blocking", "x", 1, "fib"),
        Leg("blocking", "x", 1, "process"),
        Leg("blocking", "x", 2, "spin"),
        Leg("asyncio", "x"),
    ]
    found = rows.rows([ran(leg, 1.0) for leg in legs])
    found += rows.rows([ran(LOADED, 1.0, switch_interval_ns=1_000_000)])
    assert [12.7, 142.0, 142.0, None, None, None, None] == [row.talk_s for row in found]


def test_schema() -> None:
    """Every row has the fields it is to have, of the types they are to have."""
    finished = [
        ran(ALONE, 1.0),
        ran(LOADED, 9.0, load_kept=0.5, unloaded_rate=100.0),
        Finished(Leg("c-zmq", "x", 1, "spin", 0.001), error="no compiler"),
    ]
    made = document.make(
        document.start(),
        interrupted=False,
        rows=[row.to_dict() for row in rows.rows(finished)],
    )
    value = json.loads(document.render(made))
    assert {"machine", "rows", "giltrace", "started", "interrupted", "talk"} == set(value)
    for row in value["rows"]:
        wrong = {
            name: row[name]
            for name, kind in SCHEMA.items()
            if not (isinstance(row[name], kind) or (row[name] is None and row["error"]))
            and not (name == "cpu_rate_ratio" and not row["load"])
        }
        assert wrong == {}
        assert "cpython" == row["policy"]
    assert [0, 1, 1] == [row["load"] for row in value["rows"]]
    assert ["none", "spin", "spin"] == [row["load_kind"] for row in value["rows"]]


def test_machine_tells_no_names() -> None:
    """Figures depend on the machine's kind, not on whose it is."""
    import socket

    text = json.dumps(document.start())
    assert {"cores", "usable_cores", "processor"} <= set(json.loads(text)["machine"])
    assert f'"{socket.gethostname()}"' not in text


def test_settings_are_in_the_row() -> None:
    """A row can be read on its own."""
    leg = Leg("blocking", "x", settings=Settings(requests=7, size=9, sleep_ms=0.5, pin=True))
    value = rows.rows([Finished(leg, error="x")])[0].to_dict()
    assert (7, 9, 0.5, True) == (
        value["requests"],
        value["size"],
        value["sleep_ms"],
        value["pinned"],
    )


@pytest.mark.repo
def test_every_field_is_documented() -> None:
    """The reference names each field of the document, of a row, of a leg and of a measure."""
    text = (Path(__file__).parents[3] / "docs/reference/bench-json.md").read_text()
    measured = ccbench.rows([Finished(Measure("latency", "bz2", 1, "x"), error="x")])
    row = rows.rows([ran(ALONE, 1.0)])[0].to_dict()
    fields = {
        *document.make(document.start(), interrupted=False, ccbench=[]),
        *row,
        *row["legs"][0],
        *measured[0].to_dict(),
    }
    assert {field for field in fields if f"`{field}`" not in text} == set()
