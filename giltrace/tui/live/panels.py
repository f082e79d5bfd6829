"""What stands around the timeline of a live view, as text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from giltrace.analysis.calls import call_name
from giltrace.analysis.recent import Recent
from giltrace.model.text import printable
from giltrace.tui.live.feed import Shot
from giltrace.tui.trace_source import TraceSource
from giltrace.wording.human import duration, share

_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_UNSEEN: Final = "·"
_HEAD: Final = 14


def sparkline(values: Sequence[float], width: int, top: float) -> str:
    """The last ``width`` values as bars; what was not looked at as a dot."""
    bars = []
    for value in values[-width:]:
        if math.isnan(value):
            bars.append(_UNSEEN)
            continue
        part = min(1.0, value / top) if top > 0 else 0.0
        # However little it is, it can be told from nothing.
        bars.append(_LEVELS[math.ceil(part * (len(_LEVELS) - 1))])
    return "".join(bars).rjust(width)


def heading(title: str, shot: Shot | None, state: str, width: int) -> Text:
    """The first line: what is looked at, and how it goes."""
    facts = [state]
    if shot is not None and shot.source is not None:
        facts += [f"{shot.elapsed_s:,.0f} s", f"{shot.events:,} events", f"{shot.rate:,.0f}/s"]
        if shot.lost_events:
            facts.append(f"{shot.lost_events:,} LOST")
    words = "  ".join(facts)
    room = max(0, width - len(words) - 3)
    name = printable(title, max(1, room))
    line = Text(f" {name}".ljust(room + 2)[: room + 2] + words, no_wrap=True, overflow="ellipsis")
    line.stylize("reverse")
    if shot is not None and shot.lost_events:
        line.stylize("bold red")
    return line


def gauges(shot: Shot | None, width: int) -> Text:
    """Utilisation and waiters over the last seconds, and how long waits took."""
    if shot is None or shot.source is None or shot.recent is None:
        return Text("waiting for the first event …")
    room = max(10, width - _HEAD - 12)
    held = [pair[0] for pair in shot.seconds]
    waited = [pair[1] for pair in shot.seconds]
    most = max((one for one in waited if not math.isnan(one)), default=0.0)
    rows = [
        ("GIL held", sparkline(held, room, 1.0), f"{_last(held):4.0%} now"),
        ("waiters", sparkline(waited, room, max(1.0, most)), f"{_last(waited):4.1f} now"),
    ]
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, bars, now in rows:
        text.append(f" {name:<{_HEAD - 1}}", "bold")
        text.append(bars)
        text.append(f"  {now}\n")
    text.append(f" {'waits':<{_HEAD - 1}}", "bold")
    text.append(_waits(shot.recent))
    return text


def blamed(shot: Shot | None, rows: int) -> Text:
    """On whom the waits of the last seconds fell."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if shot is None or shot.source is None or shot.recent is None:
        return text
    source, found = shot.source, shot.recent
    total = sum(row.wait_ns for row in found.blamed) or 1
    text.append(f" blame, last {found.ns / 1e9:.0f} s", "bold")
    # Several places may stand in one line.
    lines: defaultdict[str, int] = defaultdict(int)
    for row in found.blamed:
        holder = "nobody (hand-off)" if row.holder is None else source.labels.thread(row.holder)
        lines[holder + _where(source, row.place, row.call)] += row.wait_ns
    for words, ns in sorted(lines.items(), key=lambda line: -line[1])[:rows]:
        text.append(f"\n {share(ns, total):>5}  {duration(ns):>8}  {words}")
    return text


def _waits(found: Recent) -> str:
    if found.percentiles is None:
        return f"none in {found.ns / 1e9:.0f} s"
    p50, p90, p99, most = map(duration, found.percentiles)
    each = found.waits / max(1, found.ns) * 1e9
    return f"{each:,.0f}/s   50 % {p50}   90 % {p90}   99 % {p99}   longest {most}"


def _where(source: TraceSource, place: int, call: int) -> str:
    if place == 0:
        return ""
    words = f" at {source.labels.place(place)}"
    name = printable(call_name(source.trace, call, place)[0])
    return f"{words} in {name}" if name else words


def _last(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if not math.isnan(value)), 0.0)
