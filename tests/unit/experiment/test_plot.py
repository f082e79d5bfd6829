"""Plots: what is drawn, and that the files are what they say they are."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from giltrace.errors import GiltraceError
from giltrace.experiment import axes, drawing, plot
from giltrace.experiment.axes import Scale
from giltrace.experiment.drawing import Drawing, Line, Rect, Text

MACHINE = {"usable_cores": 2, "processor": "A & B <C>", "architecture": "x"}


def row(scenario: str = "blocking", **more: Any) -> dict[str, Any]:
    """A row of the document, slower with load."""
    load = more.get("load", 0)
    return {
        "scenario": scenario,
        "interpreter": "CPython 3.11.7",
        "load": load,
        "load_kind": "spin" if load else "none",
        "switch_interval_s": 0.005,
        "requests": 300,
        "size": 8192,
        "sleep_ms": 1.0,
        "ms_per_request": 9.0 if load else 1.2,
        "slowdown": 7.5 if load else 1.0,
        "timed_out": False,
        "talk_ms_per_request": None,
        **more,
    }


def words(picture: Drawing) -> list[str]:
    """Everything written on it."""
    return [shape.text for shape in picture.shapes if isinstance(shape, Text)]


def svg(picture: Drawing) -> ET.Element:
    """The picture's SVG, parsed."""
    return ET.fromstring(drawing.svg(picture))


def test_bars() -> None:
    """A group for each server, with the slow-down on top and the talk's bar beside."""
    rows = [
        row("blocking"),
        row("blocking", load=1, talk_ms_per_request=14.2),
        row("asyncio"),
        row("asyncio", load=1, slowdown=None),
    ]
    picture = plot.draw({"rows": rows, "machine": MACHINE})
    said = words(picture)
    assert "300 requests of 8,192 bytes, 1 ms of sleep before each; 2 cores, A & B <C>" in said
    assert ["blocking", "asyncio"] == [word for word in said if word in ("blocking", "asyncio")]
    assert ["7.5x", "11.2x", "9.0"] == [
        word for word in said if word[0].isdigit() and ("x" in word or "." in word)
    ][-3:]
    assert "the talk (Python 3.2, 2012)" in said


def test_a_bar_that_is_a_bound() -> None:
    """What the time limit cut short goes to the top and says so, and sets no scale."""
    rows = [row(), row(load=1, timed_out=True, slowdown=900.0, ms_per_request=1080.0)]
    picture = plot.draw({"rows": [*rows, row("asyncio", load=1)], "machine": MACHINE})
    assert ">900.0x" in words(picture)
    assert "1000" not in words(picture)


def test_curves() -> None:
    """Several switch intervals make a line for each load, a tick for each interval."""
    rows = [
        row(load=load, switch_interval_s=span, ms_per_request=1 + 900 * load * span)
        for span in (0.01, 0.005, 0.0001)
        for load in (0, 1)
    ]
    picture = plot.draw({"rows": rows, "machine": MACHINE})
    lines = [s for s in picture.shapes if isinstance(s, Line) and len(s.points) == 3]
    assert [True, False] == [line.dashed for line in lines]
    assert all(line.points == sorted(line.points) for line in lines)
    assert {"10 ms", "5 ms", "100 µs", "alone", "beside 1 spin"} <= set(words(picture))


@pytest.mark.parametrize(
    "rows",
    [
        [row()],
        [row(load=1)],
        [row(timed_out=True)],
        [row(name, load=load) for name in "abcdefg" for load in range(9)],
        [row(switch_interval_s=span) for span in (1e-6, 1000.0)],
        [row(interpreter="<script>\x1b[2J\u202e" + "x" * 1000, load=load) for load in (0, 1, 2)],
    ],
    ids=["alone", "loaded", "bound", "many", "two intervals", "hostile"],
)
def test_svg_is_well_formed(rows: list[dict[str, Any]]) -> None:
    """Whatever is drawn, the file is XML, has a title, and stays on its paper."""
    picture = plot.draw({"rows": rows, "machine": MACHINE})
    root = svg(picture)
    assert "{http://www.w3.org/2000/svg}svg" == root.tag
    assert "Milliseconds per request" == root[0].text
    for shape in picture.shapes:
        if isinstance(shape, Rect):
            assert 0 <= shape.x <= shape.x + shape.width <= picture.width
            assert 0 <= shape.y <= shape.y + shape.height <= picture.height
            assert min(shape.width, shape.height) >= 0


def test_hostile_words_stay_words() -> None:
    """Markup and control characters are shown, not obeyed."""
    picture = Drawing(10, 10, "t", [Text(0, 0, "<b>&\x1b\x00\udc80")])
    text = svg(picture)[-1].text
    assert "<b>&\\x1b\\x00\\x80" == text


def test_nothing_to_plot() -> None:
    """Rows without figures make no plot."""
    with pytest.raises(GiltraceError, match="nothing to plot"):
        plot.draw({"rows": [row(ms_per_request=None)], "machine": MACHINE})


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (14.2, [0, 5, 10, 15]),
        (10, [0, 2, 4, 6, 8, 10]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, [0, 2e-10, 4e-10, 6e-10, 8e-10, 1e-9]),
        (123_456, [0, 25_000, 50_000, 75_000, 100_000, 125_000]),
    ],
)
def test_round_ticks(high: float, expected: list[float]) -> None:
    """About five round steps that reach the highest value."""
    assert expected == pytest.approx(axes.round_ticks(high), rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.3, 25, [1, 2, 5, 10, 20, 50]),
        (1, 10, [1, 2, 5, 10]),
        (7, 7, [5, 10]),
        (1, 1, [1, 2]),
        (0.03, 0.04, [0.02, 0.05]),
    ],
)
def test_log_ticks(low: float, high: float, expected: list[float]) -> None:
    """Ones, twos and fives around the values."""
    assert expected == pytest.approx(axes.log_ticks(low, high))


def test_scales() -> None:
    """Linear and logarithmic; what is outside is moved to the edge."""
    linear, log = Scale(0, 10, 100, 0), Scale(1, 100, 0, 10, logarithmic=True)
    assert [100, 50, 0, 0] == [linear.at(value) for value in (0, 5, 10, 11)]
    assert [0, 5, 10, 0] == pytest.approx([log.at(value) for value in (1, 10, 100, 0.5)])
    assert 7 == Scale(1, 1, 7, 9).at(1)


def test_png() -> None:
    """With matplotlib there is a PNG, without it an error that says what to install."""
    picture = plot.draw({"rows": [row(), row(load=1)], "machine": MACHINE})
    file = io.BytesIO()
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        with pytest.raises(GiltraceError) as caught:
            drawing.write_png(picture, file)
        assert "a PNG needs matplotlib, which is not installed" == caught.value.message
        assert "giltrace[plot]" in caught.value.hint
    else:
        drawing.write_png(picture, file)
        assert file.getvalue().startswith(b"\x89PNG\r\n\x1a\n")
