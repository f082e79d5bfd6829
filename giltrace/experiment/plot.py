"""The plot of a bench, made from the rows of its JSON document.

Several switch intervals make a curve over them; anything else makes bars, one group a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from giltrace.errors import GiltraceError
from giltrace.experiment import intervals, machine, published
from giltrace.experiment.axes import (
    PALETTE,
    Frame,
    Scale,
    add_head,
    add_legend,
    add_y_axis,
    log_ticks,
    round_ticks,
)
from giltrace.experiment.drawing import FAINT, INK, Drawing, Line, Rect, Text

_WIDTH: Final = 860.0
_HEIGHT: Final = 460.0
_SIDE: Final = 56.0
_TALK_COLOUR: Final = "#8c959f"
_TALK_LABEL: Final = "the talk (Python 3.2, 2012)"
_VARYING: Final = ("interpreter", "load", "load_kind")
_BAR_GAP: Final = 3.0
_LEGEND_Y: Final = 72.0
_LIGHT: Final = 0.45

Row = Mapping[str, Any]


def draw(document: Mapping[str, Any]) -> Drawing:
    """Return the plot of a document.

    Raises:
        GiltraceError: It has no row that could be plotted.
    """
    rows = [row for row in document["rows"] if row["ms_per_request"] is not None]
    if not rows:
        raise GiltraceError("there is nothing to plot: no leg gave figures")
    drawing = Drawing(_WIDTH, _HEIGHT, "Milliseconds per request")
    subtitle = _conditions(rows[0], document["machine"])
    if len({row["switch_interval_s"] for row in rows}) > 1:
        _curves(drawing, rows, subtitle)
    else:
        _bars(drawing, rows, subtitle)
    return drawing


def _conditions(row: Row, where: Mapping[str, Any]) -> str:
    return (
        f"{row['requests']:,} requests of {row['size']:,} bytes, {row['sleep_ms']:g} ms of sleep "
        f"before each; {machine.show(dict(where))}"
    )


@dataclass(frozen=True)
class _Bar:
    """One bar: the time of a request, the part of it that it takes alone, and a figure on top."""

    high_ms: float
    alone_ms: float
    words: str
    bound: bool = False


def _bars(drawing: Drawing, rows: Sequence[Row], subtitle: str) -> None:
    """Draw a group of bars for each server: in full colour what it takes alone."""
    loaded = [row for row in rows if row["load"]] or list(rows)
    names = list(dict.fromkeys(row["scenario"] for row in loaded))
    series = _series(loaded)
    bars = {label: {row["scenario"]: _bar(row) for row in found} for label, found in series.items()}
    if talk := _talk(loaded, names):
        bars[_TALK_LABEL] = talk
    colours = dict(zip(series, _colours(), strict=False)) | {_TALK_LABEL: _TALK_COLOUR}
    add_head(drawing, "Milliseconds per request, alone and beside CPU work", subtitle)
    top = add_legend(drawing, [(label, colours[label]) for label in bars], _LEGEND_Y, _WIDTH - 16)
    frame = Frame(_SIDE, top + 34, _WIDTH - 16, _HEIGHT - 48)
    known = [bar.high_ms for group in bars.values() for bar in group.values() if not bar.bound]
    ticks = round_ticks(max(known, default=1.0))
    scale = Scale(0, ticks[-1], frame.bottom, frame.top)
    add_y_axis(drawing, frame, scale, ticks)
    room = (frame.right - frame.left) / len(names)
    width = min(64.0, room * 0.84 / len(bars))
    for number, name in enumerate(names):
        middle = frame.left + room * (number + 0.5)
        drawing.add(Text(middle, frame.bottom + 18, name, 12, "middle", INK))
        x = middle - width * len(bars) / 2
        for label, group in bars.items():
            if name in group:
                _add_bar(drawing, group[name], scale, x=x, width=width, colour=colours[label])
            x += width
    note = "Full colour: alone. Light: beside CPU work. On top: how many times as long."
    drawing.add(Text(16, _HEIGHT - 10, note, 11, fill=FAINT))


def _add_bar(
    drawing: Drawing, bar: _Bar, scale: Scale, *, x: float, width: float, colour: str
) -> None:
    top, alone = scale.at(scale.high if bar.bound else bar.high_ms), scale.at(bar.alone_ms)
    inner = max(width - _BAR_GAP, 1.0)
    bottom = scale.start
    drawing.add(Rect(x, top, inner, bottom - top, colour, _LIGHT))
    drawing.add(Rect(x, alone, inner, bottom - alone, colour))
    drawing.add(Text(x + inner / 2, top - 5, bar.words, 11, "middle", INK))


def _bar(row: Row) -> _Bar:
    high_ms, slowdown = row["ms_per_request"], row["slowdown"]
    words = f"{slowdown:.1f}x" if slowdown and row["load"] else f"{high_ms:.1f}"
    alone_ms = high_ms / slowdown if slowdown else high_ms if not row["load"] else 0.0
    bound = row["timed_out"]
    return _Bar(high_ms, alone_ms, f">{words}" if bound else words, bound)


def _talk(rows: Sequence[Row], names: Sequence[str]) -> dict[str, _Bar]:
    """The talk's bars, if ours are of what it measured."""
    if not any(row["load"] and row["talk_ms_per_request"] for row in rows):
        return {}
    per_ms = 1e3 / published.MESSAGES
    return {
        name: _Bar(
            published.TALK[name].loaded_s * per_ms,
            published.TALK[name].alone_s * per_ms,
            f"{published.TALK[name].slowdown:.1f}x",
        )
        for name in names
        if name in published.TALK
    }


def _curves(drawing: Drawing, rows: Sequence[Row], subtitle: str) -> None:
    """Draw a line over the switch intervals for each server and load, both axes logarithmic."""
    series = _series(rows, "scenario")
    add_head(drawing, "Milliseconds per request over the switch interval", subtitle)
    colours = dict(zip(series, _colours(), strict=False))
    top = add_legend(drawing, list(colours.items()), _LEGEND_Y, _WIDTH - 16)
    frame = Frame(_SIDE, top + 24, _WIDTH - 32, _HEIGHT - 56)
    spans = sorted({row["switch_interval_s"] for row in rows})
    times = [row["ms_per_request"] for row in rows]
    ticks = log_ticks(min(times), max(times))
    xs = Scale(spans[0], spans[-1], frame.left + 20, frame.right - 20, logarithmic=True)
    ys = Scale(ticks[0], ticks[-1], frame.bottom, frame.top, logarithmic=True)
    add_y_axis(drawing, frame, ys, ticks)
    for span in spans:
        drawing.add(Text(xs.at(span), frame.bottom + 20, intervals.show(span), 12, "middle", FAINT))
    drawing.add(Text(frame.right, _HEIGHT - 14, "switch interval", 12, "end", FAINT))
    for label, found in series.items():
        points = sorted(
            (xs.at(row["switch_interval_s"]), ys.at(row["ms_per_request"])) for row in found
        )
        alone = not any(row["load"] for row in found)
        drawing.add(Line(points, colours[label], 2, dashed=alone))
        drawing.add(*(Rect(x - 3, y - 3, 6, 6, colours[label]) for x, y in points))


def _series(rows: Sequence[Row], *more: str) -> dict[str, list[Row]]:
    """Rows that belong together, by words for what sets them apart."""
    varying = [name for name in (*more, *_VARYING) if len({row[name] for row in rows}) > 1]
    found: dict[str, list[Row]] = {}
    for row in rows:
        words = [str(row[name]) for name in varying if name not in ("load", "load_kind")]
        if "load" in varying or "load_kind" in varying or not words:
            words.append(f"beside {row['load']} {row['load_kind']}" if row["load"] else "alone")
        if not varying:
            words.insert(0, row["interpreter"])
        found.setdefault(", ".join(words), []).append(row)
    return found


def _colours() -> list[str]:
    return list(PALETTE) * 8
