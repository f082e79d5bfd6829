"""`giltrace bench` with real servers: few requests, and no times are looked at."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import psutil
import pytest

import giltrace
from giltrace.experiment import interpreters
from tests.support.python import environment, wait_for

QUICK = ("--requests", "20", "--repeat", "1")


def start(cache: Path, *words: str | Path, **options: Any) -> psutil.Popen:
    """Start a bench with a cache of its own."""
    return psutil.Popen(
        [sys.executable, "-m", "giltrace", "bench", *map(str, words)],
        env=environment({"XDG_CACHE_HOME": str(cache)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        **{"stderr": subprocess.PIPE, **options},
    )


def bench(cache: Path, *words: str | Path) -> tuple[int, list[str], list[str]]:
    """Run a bench; return its exit code and the lines it wrote to stdout and stderr."""
    process = start(cache, *words)
    out, err = process.communicate(timeout=110)
    return process.returncode, out.splitlines(), err.splitlines()


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a document."""
    return list(json.loads(path.read_text())["rows"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a bench of two servers, alone and loaded, recorded."""
    folder = tmp_path_factory.mktemp("small")
    outputs = ("--json", folder / "captures.json", "--plot", folder / "out.svg")
    code, out, err = bench(
        folder, "blocking", "nonblocking", *QUICK, *outputs, "--record", folder / "captures"
    )
    assert (0, []) == (code, err)
    (folder / "table").write_text("\n".join(out))
    return folder


def test_a_small_bench(small: Path) -> None:
    """Table, document, plot and captures agree."""
    captures, out = small / "captures", (small / "table").read_text().splitlines()
    found = rows(small / "captures.json")
    assert [("blocking", 0), ("blocking", 1), ("nonblocking", 0), ("nonblocking", 1)] == [
        (row["scenario"], row["load"]) for row in found
    ]
    for row in found:
        assert (20, 8192, 1.0, "cpython", None, False) == (
            *(row["requests"], row["size"], row["sleep_ms"]),
            *(row["policy"], row["error"], row["timed_out"]),
        )
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] <= row["seconds"] * 1e3
        assert row["ms_per_request"] == pytest.approx(row["seconds"] * 1e3 / 20)
        assert (row["cpu_rate_ratio"] is None) == (row["load"] == 0)
    for alone, loaded in (found[:2], found[2:]):
        assert 1.0 == alone["slowdown"]
        assert loaded["slowdown"] == loaded["ms_per_request"] / alone["ms_per_request"]
        assert loaded["cpu_rate_ratio"] > 0
    names = [line.split("  ")[0] for line in out if line.startswith(("blocking", "nonblocking"))]
    assert ["blocking", "nonblocking"] == names
    assert 2 == sum(line.startswith("  + 1 spin ") for line in out)
    assert "{http://www.w3.org/2000/svg}svg" == ET.parse(small / "out.svg").getroot().tag
    assert {
        "blocking-alone.giltrace",
        "blocking-1-spin.giltrace",
        "nonblocking-alone.giltrace",
        "nonblocking-1-spin.giltrace",
    } == {path.name for path in captures.iterdir()}
    for row in found:
        (leg,) = row["legs"]
        trace = giltrace.load(captures / leg["capture"])
        assert (1, 0) == (len(trace.processes), trace.lost_events)
        assert (row["load"] == 1) == ("cpu-1" in {thread.name for thread in trace.threads})


@pytest.mark.repo
def test_captures_and_clients_agree(small: Path, tmp_path: Path) -> None:
    """Waits of the server's thread, from its capture, are the best part of the client's times."""
    fill_figures = pytest.importorskip("tools.fill_figures")
    folder = shutil.copytree(small / "captures", tmp_path / "with the document")
    shutil.copy(small / "captures.json", folder)
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: stalls -->\n<!-- end of figures -->\n")
    text = fill_figures.fill(page, folder)
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert ["| `blocking`", "| `nonblocking`"] == [line[0] for line in lines]
    loaded = [row for row in rows(small / "captures.json") if row["load"]]
    for row, (_name, releases, waits, _each, waited, _extra) in zip(loaded, lines, strict=True):
        assert 3 <= float(releases) <= 8
        assert 0 < float(waits) < float(releases) + 1
        assert 0.1 < float(waited) / row["ms_per_request"] < 1.01


def test_ctrl_c(tmp_path: Path) -> None:
    """What was finished is shown and written; the leg under way and its capture are gone."""
    document, captures = tmp_path / "out.json", tmp_path / "captures"
    process = start(
        *(tmp_path, "blocking", "--requests", "20", "--repeat", "1000"),
        *("--json", document, "--record", captures),
    )
    family: list[psutil.Process] = []
    # Past the first leg, and in the middle of another one: recorder, server, client.
    while len(family) < 3 or not document.exists():
        assert process.poll() is None
        family = process.children(recursive=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (130, "giltrace: interrupted\n") == (process.returncode, err)
    wait_for(*(member.pid for member in family))
    value = json.loads(document.read_text())
    assert value["interrupted"]
    assert 1 <= len(value["rows"]) <= 2
    assert any(line.startswith("blocking ") for line in out.splitlines())
    kept = {leg["capture"] for row in value["rows"] for leg in row["legs"]}
    assert kept == {path.name for path in captures.iterdir()}


def test_ctrl_c_before_anything_is_finished(tmp_path: Path) -> None:
    """There is no table then, but a document."""
    document = tmp_path / "out.json"
    process = start(tmp_path, "blocking", "--requests", "1000000", "--json", document)
    family: list[psutil.Process] = []
    while len(family) < 2:
        assert process.poll() is None
        family = process.children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert ("", "giltrace: interrupted\n") == process.communicate(timeout=60)
    assert 130 == process.returncode
    wait_for(*(member.pid for member in family))
    value = json.loads(document.read_text())
    assert (True, []) == (value["interrupted"], value["rows"])


def test_killed(tmp_path: Path) -> None:
    """Even a bench that is killed leaves no process behind."""
    process = start(tmp_path, "blocking", "--requests", "1000000", "--record", tmp_path / "x")
    family: list[psutil.Process] = []
    while len(family) < 3:
        assert process.poll() is None
        family = process.children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    wait_for(*(member.pid for member in family))


def test_pythons_that_are_none(tmp_path: Path) -> None:
    """Each has a line on stderr and rows that say why; the others run."""
    document, fake = tmp_path / "out.json", tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho no\n")
    fake.chmod(0o755)
    pythons = ("--python", tmp_path / "gone", "--python", fake, "--python", sys.executable)
    code, out, err = bench(
        tmp_path, "blocking", *QUICK, "--load", "0", *pythons, "--json", document
    )
    gone = f"there is no program {tmp_path}/gone"
    no_python = f"{fake} is no Python: it said: no"
    assert (1, [f"giltrace: {gone}", f"giltrace: {no_python}"]) == (code, err)
    assert [gone, no_python, None] == [row["error"] for row in rows(document)]
    assert [False, False, True] == [row["seconds"] is not None for row in rows(document)]
    assert 2 == sum("did not run: " in line for line in out)


def test_a_leg_over_its_time_limit(tmp_path: Path) -> None:
    """Its row says so, its figures are marked as bounds, and it is not repeated."""
    document = tmp_path / "out.json"
    words = ("--sleep-ms", "60000", "--time-limit", "0.5", "--repeat", "3", "--load", "1")
    code, out, err = bench(tmp_path, "blocking", *words, "--json", document)
    assert (0, []) == (code, err)
    (row,) = rows(document)
    assert (True, None, 1) == (row["timed_out"], row["error"], len(row["legs"]))
    assert ">: the time limit ended a run; the figure is a lower bound." in out


def test_sweep_and_conditions(tmp_path: Path) -> None:
    """A list of intervals makes rows for each; settings reach the legs."""
    document, plot = tmp_path / "out.json", tmp_path / "out.svg"
    code, _out, err = bench(
        *(tmp_path, "asyncio", "--requests", "5", "--size", "10", "--sleep-ms", "0", "--pin"),
        *("--load", "0", "--load", "2", "--load-kind", "fib", "--load-kind", "process"),
        *("--repeat", "1", "--switch-interval", "10ms,0.0001", "--json", document),
        *("--plot", plot),
    )
    assert (0, []) == (code, err)
    assert [
        (interval, load, kind)
        for interval in (0.01, 0.0001)
        for load, kind in ((0, "none"), (2, "fib"), (2, "process"))
    ] == [(row["switch_interval_s"], row["load"], row["load_kind"]) for row in rows(document)]
    assert {(5, 10, 0.0, True)} == {
        (row["requests"], row["size"], row["sleep_ms"], row["pinned"]) for row in rows(document)
    }
    assert "Milliseconds per request over the switch interval" in plot.read_text()


def test_json_on_stdout(tmp_path: Path) -> None:
    """With - the document takes the place of the table."""
    code, out, err = bench(tmp_path, "blocking", *QUICK, "--load", "0", "--json", "-")
    assert (0, []) == (code, err)
    assert ["blocking"] == [row["scenario"] for row in json.loads("\n".join(out))["rows"]]


def test_ccbench(tmp_path: Path) -> None:
    """The three measures, as far as they can be taken without threads."""
    document = tmp_path / "out.json"
    code, out, err = bench(tmp_path, "--ccbench", "--load", "0", "--json", document)
    assert (0, []) == (code, err)
    value = json.loads(document.read_text())
    assert [] == value["rows"]
    assert [("latency", 0, 1.0, None), ("bandwidth", 0, 1.0, None)] == [
        (row["measure"], row["threads"], row["ratio"], row["error"]) for row in value["ccbench"]
    ]
    assert 2 == sum("none" in line and "beside" in line for line in out)


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A terminal sees which leg runs and how long it will take; stdout has the table alone."""
    terminal, other_side = pty.openpty()
    process = start(tmp_path, "blocking", *QUICK, stderr=other_side)
    os.close(other_side)
    seen = b""
    try:
        while piece := os.read(terminal, 1024):
            seen += piece
    except OSError:
        pass  # the other side has ended
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert b"1/2 blocking alone" in seen
    assert b"2/2 blocking 1-spin" in seen
    assert b" left" in seen
    assert out.startswith("20 requests of ")
    assert "\x1b" not in out


@pytest.mark.parametrize("python", ["python3.9", "python3.12", "python3.13", "pypy3"])
def test_other_interpreters(tmp_path: Path, python: str) -> None:
    """They run from a copy of the sources; recorded where the tap was built for them."""
    path = shutil.which(python)
    probe = path and subprocess.run([path, "-c", ""], capture_output=True, check=False)
    if not path or not probe or probe.returncode:
        pytest.skip(f"{python} is not installed")
    document, captures = tmp_path / "out.json", tmp_path / "captures"
    code, _out, err = bench(
        *(tmp_path, "blocking", *QUICK, "--python", path, "--json", document),
        *("--record", captures),
    )
    label = interpreters.probe(path, os.environ).label
    assert [(label, 0, None), (label, 1, None)] == [
        (row["interpreter"], row["load"], row["error"]) for row in rows(document)
    ]
    recorded = sorted(path.name for path in captures.iterdir())
    if recorded:
        assert (0, []) == (code, err)
        assert ["blocking-1-spin.giltrace", "blocking-alone.giltrace"] == recorded
    else:
        assert 1 == code
        assert err[0].startswith(f"giltrace: 2 runs with {label} could not be recorded: ")
