"""The Firefox Profiler's format, held against what its documentation says of version 57."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from giltrace.export.firefox import FirefoxExporter
from giltrace.model.builder import build
from giltrace.model.trace import Trace
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot
from tests.support.synthetic import synthetic
from tests.support.timeline import timeline

STORY = (
    "main: hold 0-7ms at spin.py:12 in spin from app.py:3 in run check wait 7-8ms"
    " hold 8-9.000001ms at spin.py:14 in spin from app.py:3 in run",
    "io: wait 1-7ms request@6ms hold 7-8ms at server.py:41 in f call=_socket.socket.recv",
    "io: hold 9.5-10ms at server.py:41 in f",
)
COLUMNS = {
    "samples": {"stack", "time", "weight"},
    "markers": {"data", "name", "startTime", "endTime", "phase", "category"},
    "stackTable": {"frame", "prefix", "category", "subcategory"},
    "frameTable": {
        *("address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol"),
        *("innerWindowID", "implementation", "line", "column"),
    },
    "funcTable": {
        *("name", "isJS", "relevantForJS", "resource", "fileName", "lineNumber", "columnNumber"),
    },
    "resourceTable": {"lib", "name", "host", "type"},
    "nativeSymbols": {"libIndex", "address", "name", "functionSize"},
}
REQUIRED = {
    *("processType", "processStartupTime", "processShutdownTime", "registerTime"),
    *("unregisterTime", "pausedRanges", "name", "isMainThread", "pid", "tid", *COLUMNS),
}
OPTIONAL = {"processName"}


def exported(trace: Trace) -> dict[str, Any]:
    """The profile, whose tables must be as documented."""
    out = io.BytesIO()
    FirefoxExporter().write(trace, out)
    profile: dict[str, Any] = json.loads(out.getvalue())
    check(profile)
    return profile


def check(profile: dict[str, Any]) -> None:
    """All that is required is there and nothing unknown; tables refer to what there is."""
    assert set(profile) == {"meta", "libs", "pages", "shared", "threads"}
    assert set(profile["shared"]) == {"stringArray"}
    meta = profile["meta"]
    assert {"interval", "startTime", "processType", "product", "stackwalk", "markerSchema"} <= {
        *meta
    }
    assert (meta["version"], meta["preprocessedProfileVersion"]) == (32, 57)
    assert isinstance(meta["startTime"], float)
    kinds = {
        schema["name"]: {f["key"] for f in schema["fields"]} for schema in meta["markerSchema"]
    }
    strings = profile["shared"]["stringArray"]
    assert len(strings) == len(set(strings))
    for thread in profile["threads"]:
        assert set(thread) == REQUIRED | OPTIONAL
        assert isinstance(thread["pid"], str)
        for table, columns in COLUMNS.items():
            found = {name: c for name, c in thread[table].items() if isinstance(c, list)}
            assert set(found) == columns, table
            assert {len(column) for column in found.values()} == {thread[table]["length"]}, table
        refers(thread["samples"]["stack"], thread["stackTable"]["length"])
        refers(thread["stackTable"]["frame"], thread["frameTable"]["length"])
        refers(thread["frameTable"]["func"], thread["funcTable"]["length"])
        refers(thread["funcTable"]["name"], len(strings))
        refers(thread["funcTable"]["fileName"], len(strings))
        refers(thread["markers"]["name"], len(strings))
        refers(thread["markers"]["category"], len(meta["categories"]))
        for row, prefix in enumerate(thread["stackTable"]["prefix"]):
            assert prefix is None or prefix < row
        assert thread["samples"]["time"] == sorted(thread["samples"]["time"])
        for data in thread["markers"]["data"]:
            assert {*data} <= {"type", *kinds[data["type"]]}


def refers(numbers: list[int], length: int) -> None:
    """All numbers are rows of a table of that length."""
    assert all(0 <= number < length for number in numbers)


def markers(profile: dict[str, Any], thread: int) -> list[tuple[Any, ...]]:
    """Name, start, end and data of a thread's markers."""
    table, strings = profile["threads"][thread]["markers"], profile["shared"]["stringArray"]
    names = [strings[number] for number in table["name"]]
    return list(zip(names, table["startTime"], table["endTime"], table["data"], strict=True))


def test_markers_of_a_story() -> None:
    """Holds, waits and stretches off the GIL, called as CPython's own profiler calls them."""
    found = markers(exported(timeline(*STORY)), 1)
    assert found[0] == (
        *("Has GIL", 7.0, 8.0),
        {"type": "HasGIL", "where": "server.py:41 in f", "expression": ""}
        | {"call": "socket.recv", "cause": "voluntary"},
    )
    assert found[2] == (
        *("Waiting for GIL", 1.0, 7.0),
        {"type": "WaitingforGIL", "blame": "main", "where": "spin.py:12 in spin", "expression": ""},
    )
    assert found[3] == (
        *("No GIL", 8.0, 9.5),
        {"type": "NoGIL", "call": "socket.recv", "kind": "blocked"}
        | {"where": "server.py:41 in f", "expression": ""},
    )
    assert len(found) == 4


def test_the_call_tree_is_weighed_by_time_held() -> None:
    """Each hold is a sample of its stack, outermost first, as heavy as it was long."""
    profile = exported(timeline(*STORY))
    thread, strings = profile["threads"][0], profile["shared"]["stringArray"]
    samples, stacks = thread["samples"], thread["stackTable"]
    assert samples["weightType"] == "tracing-ms"
    assert samples["weight"] == [7.0, 1.000001]
    assert samples["time"] == [7.0, 9.000001]

    def frames(stack: int | None) -> list[tuple[str, int]]:
        if stack is None:
            return []
        frame = stacks["frame"][stack]
        name = strings[thread["funcTable"]["name"][thread["frameTable"]["func"][frame]]]
        return [*frames(stacks["prefix"][stack]), (name, thread["frameTable"]["line"][frame])]

    assert [frames(stack) for stack in samples["stack"]] == [
        [("run", 3), ("spin", 12)],
        [("run", 3), ("spin", 14)],
    ]


def test_large_trace_is_complete() -> None:
    """Over many pieces, as many markers as rows, and the held time of each thread."""
    trace = build(synthetic(60_000))
    profile = exported(trace)
    counts = {"Has GIL": 0, "Waiting for GIL": 0, "No GIL": 0}
    for number in range(len(trace.threads)):
        for name, *_ in markers(profile, number):
            counts[name] += 1
    assert counts == {
        "Has GIL": len(trace.holds),
        "Waiting for GIL": len(trace.waits),
        "No GIL": len(trace.off_gil),
    }
    held = sum(sum(thread["samples"]["weight"]) for thread in profile["threads"])
    assert held == pytest.approx(int(trace.holds.ns.sum()) / 1e6, rel=1e-9)


def test_what_the_reader_has_to_be_told() -> None:
    """Lost events and notes are among the facts about the profile."""
    trace = timeline("process 100 lost=17", "A: hold 0-1ms")
    [extra] = exported(trace)["meta"]["extra"]
    assert [entry["value"] for entry in extra["entries"]] == [17, *trace.notes]


def test_an_empty_trace_is_valid() -> None:
    """Without threads, and with a thread that did nothing."""
    assert exported(build(Recording().capture()))["threads"] == []
    recording = Recording()
    recording.process(100).thread("idle")
    exported(build(recording.capture()))


@pytest.mark.parametrize("name", NAMES)
def test_names_cannot_break_out(name: str) -> None:
    """Whatever a name is, the file is valid and shows it harmlessly."""
    recording = Recording()
    process = recording.process(100, argv=[name])
    thread = process.thread(name)
    process.acquire(thread, 1, 1)
    process.release(thread, 2, Spot(name, 3, name))
    profile = exported(build(recording.capture()))
    texts = [profile["threads"][0]["name"], *profile["shared"]["stringArray"]]
    assert all(text.isprintable() for text in texts)
