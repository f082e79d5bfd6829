"""Inferred hand-offs are marked in every output, and nothing is claimed that was not seen."""

from __future__ import annotations

import io
import json
import re

import pytest

from giltrace.export.chrome import ChromeExporter
from giltrace.export.csv import CsvExporter
from giltrace.export.perfetto import PerfettoExporter
from giltrace.model import Cause, Trace, build
from giltrace.report.json import as_object
from giltrace.report.terminal import render
from tests.support.perfetto_file import parse
from tests.support.recording import Recording, Spot

NOTE = "hand-offs of this process are inferred"


@pytest.fixture
def trace() -> Trace:
    """Two threads in turn, in a process that recorded itself through function calls."""
    recording = Recording()
    process = recording.process(backend="portable", notes=[NOTE])
    process.end_ns = 40
    main, work = process.thread("main"), process.thread("work")
    spot = Spot("app.py", 3, "f")
    process.acquire(main, 0, 1, synthetic=True)
    process.release(main, 10, spot)
    process.acquire(work, 10, 2)
    process.release(work, 20, spot)
    process.acquire(main, 30, 3)
    process.release(main, 40, synthetic=True)
    return build(recording.capture())


def test_causes(trace: Trace) -> None:
    """Without requests on record nobody can tell forced from voluntary."""
    assert trace.processes[0].inferred
    assert trace.holds.cause.tolist() == [Cause.UNKNOWN, Cause.UNKNOWN, Cause.NONE]


def test_the_terminal(trace: Trace) -> None:
    """The note comes first; the words do not say that nobody waited."""
    text = render(trace)
    words = " ".join(text.split())
    assert f"pid 100: {NOTE}. " in words
    assert "The GIL seems to have been held 75 % of the time" in words
    assert "Who waited for it, and for how long, does not show in function calls." in words
    assert "Nobody ever waited" not in words
    assert re.search(r"^process 100 \(inferred\) +75 % +- +2 +- +- +- +-$", text, re.MULTILINE)


def test_json(trace: Trace) -> None:
    """What cannot be seen is null, and not zero."""
    report = as_object(trace)
    assert [process["inferred"] for process in report["capture"]["processes"]] == [True]
    (gil,) = report["gils"]
    assert gil["inferred"] is True
    assert (gil["held_ns"], gil["handoffs"], gil["unknown"]) == (30, 2, 2)
    unseen = ("wait_ns", "contention", "waits", "forced", "voluntary", "drop_requests")
    assert [gil[name] for name in unseen] == [None] * 6
    for thread in report["threads"]:
        assert thread["inferred"] is True
        unseen = ("wait_ns", "waits", "wait_p50_ns", "wait_p99_ns", "wait_max_ns", "forced_out")
        assert [thread[name] for name in unseen] == [None] * 6


def test_csv(trace: Trace) -> None:
    """Whoever asks for acquires gets none of the inferred ones."""
    out = io.BytesIO()
    CsvExporter().write(trace, out)
    events = [row.split(",")[5] for row in out.getvalue().decode().splitlines()[1:]]
    assert events == ["inferred_acquire", "inferred_release"] * 3


def test_chrome(trace: Trace) -> None:
    """The GIL and the process say it in their names."""
    out = io.BytesIO()
    ChromeExporter().write(trace, out)
    names = [
        event["args"]["name"]
        for event in json.loads(out.getvalue())
        if event.get("name") == "process_name"
    ]
    assert names == ["GIL (pid 100, inferred)", "python (inferred)"]


def test_perfetto(trace: Trace) -> None:
    """The group says it in its name, and has no tracks for what cannot be seen."""
    out = io.BytesIO()
    PerfettoExporter().write(trace, out)
    file = parse(out.getvalue())
    names = [track.name for track in file.tracks.values() if track.name]
    assert "GIL (pid 100, inferred)" in names
    assert "GIL holder" in names
    assert not {"GIL waiters", "drop requests"} & set(names)
