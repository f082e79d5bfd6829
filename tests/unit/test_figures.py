"""The figures in the documents are those of the samples, and come with their commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from giltrace.cli.main import cli
from giltrace.experiment import ccbench, document, plan, rows
from giltrace.experiment.ccbench import Measure
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import Leg, Settings

pytestmark = pytest.mark.repo

# Left out where an installed giltrace is tested, beside which there are no tools.
fill_figures: Any = pytest.importorskip("tools.fill_figures")
make_samples: Any = pytest.importorskip("tools.make_samples")

PYTHONS = ("CPython 3.11.7", "CPython 3.13.0t", "PyPy 7.3.11 (3.9.16)")
COMMAND = re.compile(r"^\$ giltrace (bench .*)$", re.MULTILINE)


def ran(leg: Leg) -> Finished[Leg]:
    """A leg: a millisecond, and ten more for each thread that holds the GIL."""
    ms = 1.0 + 10 * leg.load * (leg.load_kind in ("spin", "fib"))
    result = {
        "requests": 300,
        "seconds": ms * 0.3,
        **dict.fromkeys(("ms_per_request", "p50_ms", "p99_ms", "max_ms"), ms),
        "switch_interval_ns": (leg.switch_interval_s or 0.005) * 1e9,
        "timed_out": leg.load_kind == "fib",
        "load_kept": 0.75 if leg.load else None,
        "unloaded_rate": 1.0 if leg.load else None,
    }
    return Finished(leg, result)


def write(path: Path, finished: list[Finished[Leg]], **lists: list[dict[str, Any]]) -> None:
    """Write the document of a bench."""
    found = [row.to_dict() for row in rows.rows(finished)]
    value = document.make(document.start(), interrupted=False, **{"rows": found, **lists})
    path.write_bytes(document.render(value))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """All documents, as `make samples` makes them, and a page that asks for all figures."""
    settings = Settings()

    def legs(names: tuple[str, ...], **more: Any) -> list[Finished[Leg]]:
        return [ran(leg) for leg in plan.legs(names, more.pop("on", PYTHONS[:1]), settings, **more)]

    talk = [*legs(plan.TALK, on=PYTHONS[:2]), Finished(Leg("c-zmq", PYTHONS[2]), error="x")]
    write(tmp_path / "talk.json", talk)
    write(tmp_path / "sweep.json", legs(("blocking",), switch_intervals=(0.01, 0.0001)))
    kinds = ("spin", "process", "native")
    write(tmp_path / "loads.json", legs(("blocking",), loads=(0, 1, 2), load_kinds=kinds))
    rules = ("cpython", "auto")
    write(tmp_path / "keystroke.json", legs(("keystroke",), policies=rules))
    for name in fill_figures.PYTHON_SERVERS:
        under = legs((name,), loads=(0, 1, 2), policies=rules, switch_intervals=(0.005, 0.0001))
        write(tmp_path / f"policies-{name}.json", under)
    write(tmp_path / "pypy-fib.json", legs(("blocking",), load_kinds=("fib",), on=PYTHONS[2:]))
    measures = [
        Finished(measure, {"per_s": 12345.6, "mean_ms": 0.125, "switch_interval_ns": 5_000_000})
        for measure in ccbench.measures(PYTHONS[:1], [0, 1])
    ] + [Finished(Measure("latency", "bz2", 9, PYTHONS[0]), error="x")]
    found = [row.to_dict() for row in ccbench.rows(measures)]
    write(tmp_path / "ccbench.json", [], ccbench=found)
    (tmp_path / "talk.svg").touch()
    blocks = "".join(
        f"<!-- figures: {name} -->\nstale\n<!-- end of figures -->\n"
        for name in fill_figures.BLOCKS
    )
    (tmp_path / "page.md").write_text(blocks)
    return tmp_path


def test_pages_are_up_to_date() -> None:
    """The pages say what the samples say; `make samples` fills them."""
    command = [sys.executable, str(fill_figures.__file__), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_pages_ask_for_what_there_is() -> None:
    """Every block has its figures, and every figure has its place."""
    asked = {
        match["name"]
        for page in fill_figures.PAGES
        for match in fill_figures.BLOCK.finditer(page.read_text())
    }
    assert set(fill_figures.BLOCKS) == asked


def test_every_block_can_be_filled(samples: Path) -> None:
    """From documents that are there; only figures from captures need more than that."""
    text = fill_figures.fill(samples / "page.md", samples)
    assert 1 == text.count(fill_figures.MISSING)
    assert "stale" not in text
    for line in (
        "| ms per request | the talk (3.2) | CPython 3.11.7 | CPython 3.13.0t "
        "| PyPy 7.3.11 (3.9.16) |",
        "| `blocking` | 1.27 → 14.20 (11.2x) | 1.00 → 11.00 (11.0x) | 1.00 → 11.00 (11.0x) |  |",
        "![Bars: milliseconds per request of each server](talk.svg)",
        "| `blocking` | 75% | 75% |  |",
        "| ms per request | 10 ms | 100 µs |",
        "| beside one thread | 11.00 | 11.00 |",
        "| 2 `spin` | 21.00 (21.0x) |",
        "| 2 `native` | 1.00 (1.0x) |",
        "| server |  | alone | 1 thread | 2 threads |",
        "| `blocking` | `cpython` | 1.00 / 1.0 | 11.00 / 11.0 / 75% | 21.00 / 21.0 / 75% |",
        "| `blocking` | every 100 µs | 1.00 / 1.0 | 11.00 / 11.0 / 75% | 21.00 / 21.0 / 75% |",
        "| `blocking` | `auto` | 1.00 / 1.0 | 11.00 / 11.0 / 75% | 21.00 / 21.0 / 75% |",
        "| beside a thread that computes | `auto` | 11.00 | 11.00 | 11.00 | 75% |",
        "| beside `fib` | 300 | >11.00 | yes |",
        "| latency | none | 0.125 ms | 1.00x |",
        "| throughput | 1 `bz2` | 12,346 steps/s | 1.00x |",
    ):
        assert f"\n{line}\n" in text


def test_filling_twice_changes_nothing(samples: Path) -> None:
    """What is filled is up to date, and what is not is told."""
    page = samples / "page.md"
    command = [sys.executable, str(fill_figures.__file__), "--samples", str(samples), str(page)]
    codes = [
        subprocess.run([*command, *more], capture_output=True, check=False).returncode
        for more in (["--check"], [], ["--check"])
    ]
    assert [1, 0, 0] == codes


def test_without_samples(tmp_path: Path) -> None:
    """Before the samples are made, the page says so."""
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: talk -->\n<!-- end of figures -->\n")
    assert fill_figures.MISSING in fill_figures.fill(page, tmp_path)


def test_commands_beside_the_figures_are_valid(samples: Path) -> None:
    """Each figure's command line is one that `giltrace bench` takes."""
    command = cli.get_command(click.Context(cli), "bench")
    assert command is not None
    found = COMMAND.findall(fill_figures.fill(samples / "page.md", samples))
    assert len(found) >= 5
    for line in found:
        command.make_parser(click.Context(command)).parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("quick", [True, False])
def test_commands_that_make_the_samples_are_valid(quick: bool) -> None:
    """They make every document that a figure needs, with options that exist."""
    command = cli.get_command(click.Context(cli), "bench")
    assert command is not None
    made = dict(make_samples.commands(["python3.11", "/x/pypy3"], quick=quick))
    wanted = {"captures", "talk", "sweep", "loads", "priorities", "pypy-fib", "ccbench"}
    wanted |= {"keystroke", *(f"policies-{name}" for name in fill_figures.PYTHON_SERVERS)}
    assert wanted == set(made)
    for words in made.values():
        command.make_parser(click.Context(command)).parse_args(list(words))


def test_labels_become_names_of_programs() -> None:
    """The command beside a figure names interpreters as they are usually called."""
    assert ["python3.11", "python3.13t", "pypy3"] == [
        fill_figures._program(label) for label in PYTHONS
    ]


def test_samples_are_small() -> None:
    """All of them together stay under 5 MB, and name no machine of ours."""
    folder = make_samples.SAMPLES
    assert sum(p.stat().st_size for p in folder.iterdir()) < make_samples.LIMIT_BYTES
    for path in folder.glob("*.json"):
        assert {"machine", "rows"} <= set(json.loads(path.read_text()))
        assert str(Path.home()) not in path.read_text()
