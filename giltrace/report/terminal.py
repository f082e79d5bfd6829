"""The report for a terminal: the paragraph, then the tables behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Final

import numpy as np
from rich.console import Console
from rich.text import Text

from giltrace.analysis.activity import activities
from giltrace.analysis.blame import GAP, BlameRow, WorstWait, table, worst_waits
from giltrace.analysis.calls import table as call_table
from giltrace.analysis.summary import GilSummary, ThreadSummary, summarise
from giltrace.model import Cause, Trace
from giltrace.model.text import printable
from giltrace.report import offgil, tables
from giltrace.report.endings import endings
from giltrace.report.gather import gather
from giltrace.report.tables import Column
from giltrace.report.words import paragraph
from giltrace.wording.human import count, duration, share
from giltrace.wording.labels import Labels

_READABLE: Final = 100
"""Prose in longer lines is hard to read, however wide the terminal is."""
_UNLIMITED: Final = 10_000
_UNIT: Final = re.compile(r"(\d) (ns|µs|ms|s|min|h|%)(?!\w)")
_GLUE: Final = "\ue000"
"""Keeps a number and its unit on one line; private characters do not occur in printable text."""
_PARTS: Final = 3
_LINE_LIMIT: Final = 48
_PERCENT: Final = 100
_FREE: Final = "nobody (hand-off)"
_ENDED: Final = {
    Cause.FORCED: "forced",
    Cause.VOLUNTARY: "voluntary",
    Cause.UNKNOWN: "unknown",
    Cause.NONE: "never",
}


def render(trace: Trace, *, top: int = 10, width: int | None = None, colour: bool = False) -> str:
    """The whole report as text.

    Args:
        trace: what to report.
        top: rows of each table.
        width: cells a line; None lets tables be as wide as they need.
        colour: use the escape sequences of a terminal.
    """
    report = _Report(trace, top)
    console, out = _console(colour)
    console.print(report.words(), width=_prose_width(width))
    for block in report.blocks():
        console.print()
        if isinstance(block, tables.Table):
            # A table that cannot get narrower is left to the terminal to wrap.
            console.print(block.fit(width), width=max(width or _UNLIMITED, block.least))
        else:
            console.print(block, width=width or _UNLIMITED)
    return _finished(out.getvalue(), colour)


def render_words(trace: Trace, *, width: int | None = None, colour: bool = False) -> str:
    """Only the paragraph, in lines that fit; the arguments are those of `render`."""
    console, out = _console(colour)
    console.print(_Report(trace, 0).words(), width=_prose_width(width))
    return _finished(out.getvalue(), colour)


def _console(colour: bool) -> tuple[Console, StringIO]:
    """A console that interprets nothing in the texts it gets, and where it writes to."""
    out = StringIO()
    console = Console(
        file=out,
        width=_UNLIMITED,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    return console, out


def _prose_width(width: int | None) -> int:
    return min(width or _READABLE, _READABLE)


def _finished(text: str, colour: bool) -> str:
    text = text.replace(_GLUE, " ")
    return text if colour else re.sub(r" +$", "", text, flags=re.MULTILINE)


class _Report:
    """What there is to show of a trace."""

    def __init__(self, trace: Trace, top: int) -> None:
        self._trace = trace
        self._top = top
        self._summary = summarise(trace)
        self._rows = table(trace)
        self._labels = Labels(trace)

    def words(self) -> Text:
        """The paragraph, with the names in it set off."""
        facts = gather(self._trace, self._summary, self._rows, self._labels)
        prose = Text(_UNIT.sub(rf"\1{_GLUE}\2", paragraph(facts)))
        prose.highlight_regex(r"`[^`]*`", "bold")
        return prose

    def blocks(self) -> Iterator[tables.Table | Text]:
        """The tables and lines that follow it."""
        trace, labels, top = self._trace, self._labels, self._top
        threads = [one for one in self._summary.threads if one.acquires or one.waits]
        if not threads:
            return
        ordered = sorted(threads, key=lambda one: (one.hold_ns, one.wait_ns), reverse=True)
        left_out = _left_out(len(ordered) - top, "thread")
        yield _threads(ordered[:top], labels, left_out, trace)
        yield offgil.times(ordered[:top], activities(trace), labels, left_out)
        yield Text("\n".join(_gils(self._summary.gils, trace, labels, top)))
        worst = worst_waits(trace, top)
        if worst:
            yield _worst(worst, trace, labels)
        if self._rows:
            yield _blame(self._rows, trace, labels, top)
        if calls := call_table(trace):
            yield offgil.calls(calls, labels, top)


def _threads(
    shown: Sequence[ThreadSummary], labels: Labels, left_out: str, trace: Trace
) -> tables.Table:
    wall_ns = trace.end_ns - trace.start_ns
    columns = [
        Column("thread", [labels.thread(one.thread) for one in shown], text=True),
        Column("holds", [duration(one.hold_ns) for one in shown], style="green"),
        Column("%", [share(one.hold_ns, wall_ns)[:-2] for one in shown], 5),
        Column("waits", [_seen(one, one.waits, trace) for one in shown], 1),
        Column("waiting", [_if(one.waits, one.wait_ns) for one in shown], style="red"),
        Column("p50", [_if(one.waits, one.wait_p50_ns) for one in shown], 7),
        Column("p99", [_if(one.waits, one.wait_p99_ns) for one in shown], 3),
        Column("max", [_if(one.waits, one.wait_max_ns) for one in shown], 2),
        Column("off GIL", [duration(one.off_gil_ns) for one in shown], 4, style="blue"),
        Column("acquires", [f"{one.acquires:,}" for one in shown], 8),
        Column("forced out", [_seen(one, one.forced_out, trace) for one in shown], 6),
    ]
    return tables.Table("Threads", columns, left_out)


def _if(condition: int, ns: int) -> str:
    return duration(ns) if condition else "-"


def _seen(one: ThreadSummary, number: int, trace: Trace) -> str:
    """A number of what cannot be seen where hand-offs are inferred."""
    process = trace.processes[trace.threads[one.thread].process]
    return "-" if process.inferred else f"{number:,}"


def _left_out(number: int, noun: str) -> str:
    return f"and {count(number, f'more {noun}')} (--top)" if number > 0 else ""


def _gils(gils: Sequence[GilSummary], trace: Trace, labels: Labels, top: int) -> Iterator[str]:
    """A line for each GIL."""
    ordered = sorted(gils, key=lambda one: (one.wait_ns, one.held_ns), reverse=True)
    for one in ordered[:top]:
        held = f"GIL of {labels.gil(one.gil)}: held {share(one.utilisation, 1)} of the time"
        handoffs = count(one.handoffs, "hand-off")
        if trace.processes[trace.gils[one.gil].process].inferred:
            yield f"{held}; {handoffs}; waits, drop requests and causes cannot be seen"
            continue
        yield (
            f"{held}, awaited {share(one.contention, 1)}; {handoffs}; releases: "
            f"{one.forced:,} forced, {one.voluntary:,} voluntary, {one.unknown:,} unknown; "
            f"{count(one.drop_requests, 'drop request')}"
        )
    if len(ordered) > top:
        yield _left_out(len(ordered) - top, "GIL")


def _worst(worst: Sequence[WorstWait], trace: Trace, labels: Labels) -> tables.Table:
    waits = trace.waits
    causes = endings(trace, np.array([one.wait for one in worst], np.int64)).tolist()
    columns = [
        Column("waiter", text=True),
        Column("waited", style="red"),
        Column("at", rank=2),
        Column("while the GIL was held by", text=True),
        Column("for", rank=1),
        Column("ended", rank=3, text=True),
    ]
    for one, cause in zip(worst, causes, strict=True):
        lines, spans = _parts(one, trace, labels)
        row = (
            labels.thread(int(waits.thread[one.wait])),
            duration(one.ns),
            duration(int(waits.start[one.wait]) - trace.start_ns),
            "\n".join(lines),
            "\n".join(spans),
            _ENDED[Cause(cause)],
        )
        for column, cell in zip(columns, row, strict=True):
            column.cells.append(cell)
    return tables.Table("Worst waits", columns)


def _parts(one: WorstWait, trace: Trace, labels: Labels) -> tuple[list[str], list[str]]:
    """Who held the GIL and for how long, a line each, without what is next to nothing."""
    shown = [part for part in one.parts[:_PARTS] if part.ns * _PERCENT >= one.ns]
    lines = [_culprit(part.hold, trace, labels) for part in shown]
    spans = [duration(part.ns) for part in shown]
    rest_ns = one.ns - sum(part.ns for part in shown)
    if rest_ns * _PERCENT >= one.ns:
        lines.append(f"and {len(one.parts) - len(shown):,} more")
        spans.append(duration(rest_ns))
    return lines, spans


def _culprit(hold: int, trace: Trace, labels: Labels) -> str:
    if hold == GAP:
        return _FREE
    thread = labels.thread(int(trace.holds.thread[hold]))
    place = labels.place(int(trace.holds.place[hold]))
    return f"{thread} at {place}" if place else thread


def _blame(rows: Sequence[BlameRow], trace: Trace, labels: Labels, top: int) -> tables.Table:
    shown = rows[:top]
    lines = [trace.expressions.of(trace.places[row.place]).line_text.strip() for row in shown]
    columns = [
        Column("waiter", [labels.thread(row.waiter) for row in shown], text=True),
        Column(
            "holder",
            [_FREE if row.holder is None else labels.thread(row.holder) for row in shown],
            text=True,
        ),
        Column("where it let go", [labels.place(row.place) or "-" for row in shown], text=True),
        Column("in", [printable(trace.calls[row.call].label, 40) for row in shown], 2, text=True),
        Column("total", [duration(row.wait_ns) for row in shown], style="red"),
        Column("waits", [f"{row.waits:,}" for row in shown], rank=1),
        Column("source", [printable(line, _LINE_LIMIT) for line in lines], 3, text=True),
    ]
    columns = [column for column in columns if any(column.cells)]
    left_out = _left_out(len(rows) - len(shown), "row")
    return tables.Table("Blame: who waited for whom", columns, left_out)
