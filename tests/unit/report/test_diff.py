"""`giltrace diff`: what changed, in words first, then in tables, or as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giltrace.cli.main import cli
from giltrace.model import load
from giltrace.report.diff import as_object, render
from tests.support import hostile, stories
from tests.support.timeline import timeline, write_capture

SAMPLES = Path(__file__).parents[3] / "sample_runs"


def diff(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["diff", *map(str, arguments)], env={"COLUMNS": "100"})


@pytest.mark.repo
def test_a_fix_of_the_experiment() -> None:
    """The server beside a thread that computes, and without it: what is gone, what it gained."""
    before, after = SAMPLES / "blocking-1-spin.giltrace", SAMPLES / "blocking-alone.giltrace"
    result = diff(before, after)
    assert (result.exit_code, result.stderr) == (0, "")
    words = " ".join(result.stdout.partition("\nThe recordings\n")[0].split())
    assert "different length (4.4 s and 171 ms): only rates and iterations compare" in words
    assert "Gone: Convoy: `MainThread` lost 3.8 s (86 % of the time) behind `cpu-1`." in words
    assert (
        "An iteration of `MainThread`, which begins with socket.recv in _read_exactly (wire.py), "
        "took 19.0 ms before and takes 39.7 µs after, 478 times as fast. It waited for the GIL "
        "for 18.8 ms of that before, and for nothing after (200 iterations and 200)."
    ) in words
    assert re.search(r"^cpu-1 .* 88 % → - ", result.stdout, re.MULTILINE)
    assert re.search(r"^MainThread .* 86 % → <1 % ", result.stdout, re.MULTILINE)


@pytest.mark.repo
def test_the_other_way_round_it_is_new() -> None:
    """A convoy that came with a change."""
    trace = load(SAMPLES / "python-zmq-1-spin.giltrace")
    text = render(load(SAMPLES / "python-zmq-alone.giltrace"), trace)
    assert "\nNew: Convoy: `MainThread`" in text
    assert "times as long" in text


def test_a_recording_compared_with_itself() -> None:
    """Nothing has changed, and that is said."""
    trace = timeline(stories.convoy())
    words = " ".join(render(trace, trace).split())
    assert "Still there, about as before (33 % and 33 % of the time): Convoy:" in words
    assert "Nothing was found that a thread does again and again in both" in words
    assert "different" not in words


def test_two_that_are_well() -> None:
    """Good news on both sides."""
    trace = timeline(stories.HEALTHY)
    assert "Nothing is the matter with the GIL, neither before nor after." in render(trace, trace)


def test_what_makes_them_hard_to_compare_is_told() -> None:
    """Another Python, lost events, inferred hand-offs."""
    before = timeline("process 1 python=3.11.7\na: hold 0-1ms")
    after = timeline("process 1 python=3.13.0 lost=5 backend=portable\na: hold 0-1ms lost 5")
    words = " ".join(render(before, after).split())
    assert "They ran on different Pythons." in words
    assert "Events are missing: 0 before, 5 after." in words
    assert "waits were not seen, and no finding is good news" in words
    assert re.search(r"^a .*0 % → \?", render(before, after), re.MULTILINE)
    after_object = as_object(before, after)
    (thread,) = after_object["threads"]
    assert (thread["before"]["wait_ns"], thread["after"]["wait_ns"]) == (0, None)
    assert after_object["after"]["waits"] is None


def test_json_is_one_object(tmp_path: Path) -> None:
    """Every number of the tables, and the words."""
    before = write_capture(tmp_path / "a.giltrace", stories.convoy())
    after = write_capture(tmp_path / "b.giltrace", stories.HEALTHY)
    result = diff(before, after, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert list(told) == [
        "before", "after", "cautions", "words", "findings", "iterations", "threads",
    ]  # fmt: skip
    assert told["before"]["wall_ns"] == 46_000_000
    finding = told["findings"][0]
    assert (finding["status"], finding["kind"]) == ("gone", "convoy")
    assert (finding["victims"], finding["hogs"]) == (["MainThread"], ["Thread-1"])
    assert (finding["before_lost_ns"], finding["after_lost_ns"]) == (15_000_000, 0)
    spin = next(one for one in told["threads"] if one["thread"] == "Thread-1")
    assert spin["after"] is None
    assert spin["before"]["hold_ns"] == 42_000_000


@pytest.mark.parametrize("width", [30, 60, 80, None])
def test_any_width(width: int | None) -> None:
    """Names and shares are there, however narrow."""
    text = render(timeline(stories.convoy()), timeline(stories.HEALTHY), width=width)
    squeezed = "".join(text.split())
    for essential in ("Gone:Convoy", "Thread-1", "91%→-"):
        assert essential in squeezed


def test_hostile_names() -> None:
    """Nothing that a thread is called acts on the terminal or breaks the JSON."""
    lines = [
        f"{name.replace(':', '').replace(';', '').replace('#', '').splitlines()[0]}x: "
        f"hold {10 * i}-{10 * i + 1}ms"
        for i, name in enumerate(hostile.NAMES)
        if name.strip()
    ]
    trace = timeline(*lines)
    text = render(trace, trace, top=100)
    assert all(line.isprintable() for line in text.splitlines())
    assert r"\x1b[31mred" in text
    json.dumps(as_object(trace, trace)).encode("ascii")


@pytest.mark.parametrize("good_first", [True, False])
def test_bad_input_is_one_line(tmp_path: Path, good_first: bool) -> None:
    """Whichever of the two it is."""
    good = write_capture(tmp_path / "good.giltrace", stories.HEALTHY)
    bad = tmp_path / "bad.giltrace"
    for content in (None, b"", b"Traceback (most recent call last):\n"):
        if content is not None:
            bad.write_bytes(content)
        pair = (good, bad) if good_first else (bad, good)
        result = diff(*pair)
        assert (result.exit_code, result.stdout) == (1, "")
        first, *rest = result.stderr.splitlines()
        assert first.startswith(f"giltrace: {bad}: ")
        assert all(line.startswith("hint: ") for line in rest)
    assert diff(good).exit_code == 2
