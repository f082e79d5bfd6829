"""The text around the timeline of a live view."""

from __future__ import annotations

import math

import pytest

from giltrace.analysis.recent import recent
from giltrace.model.builder import build
from giltrace.tui.live import panels
from giltrace.tui.live.feed import Shot
from giltrace.tui.trace_source import TraceSource
from tests.support.hostile import NAMES
from tests.support.recording import Recording, Spot


@pytest.mark.parametrize(
    ("values", "top", "expected"),
    [
        ([], 1.0, "    "),
        ([0, 0.5, 1], 1.0, "  ▄█"),
        ([0.001, 1, 2], 1.0, " ▁██"),
        ([math.nan, 0, 0, 0, 0], 1.0, "    "),
        ([math.nan, 1], 1.0, "  ·█"),
        ([1], 0.0, "    "),
    ],
)
def test_sparklines(values: list[float], top: float, expected: str) -> None:
    """The last values that fit; however little is more than nothing, and the unseen is a dot."""
    assert panels.sparkline(values, 4, top) == expected


def shot(name: str) -> Shot:
    """One in which a thread of that name waits for another one of that name."""
    recording = Recording()
    process = recording.process()
    a, b = process.thread(name), process.thread(name + "!")
    process.acquire(a, 10, 1)
    process.wait(b, 20, 1)
    process.release(a, 1_000_020, Spot(name, 1, name), check=True)
    process.acquire(b, 1_000_020, 2)
    process.release(b, 1_000_030, Spot(name, 1, name))
    trace = build(recording.capture())
    seconds = ((0.5, 1.0), (math.nan, math.nan))
    source = TraceSource(trace)
    return Shot(source, recent(trace, 9), seconds, 1.0, 5, 5.0, 3, 80, 1.0, ended=False)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text(name: str) -> None:
    """Markup, control characters and endless names neither break lines nor are obeyed."""
    one = shot(name)
    heading = panels.heading(name, one, "live", 80)
    assert "\n" not in heading.plain and heading.cell_len <= 90
    assert "3 LOST" in heading.plain
    text = panels.blamed(one, 4).plain
    assert text.count("\n") == 1
    assert all(character.isprintable() or character == "\n" for character in text)


def test_before_the_first_event() -> None:
    """There is nothing to tell but that."""
    assert "waiting for the first event" in panels.gauges(None, 80).plain
    assert panels.blamed(None, 4).plain == ""
    assert panels.heading("x", None, "live", 80).plain.endswith("live")
