"""The tables of a report, the same on a terminal and in a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from giltrace.analysis.blame import GAP, WorstWait, worst_waits
from giltrace.analysis.summary import ThreadSummary
from giltrace.model import Cause, Trace
from giltrace.model.text import printable
from giltrace.report import offgil
from giltrace.report.endings import endings
from giltrace.report.tables import Column, Table
from giltrace.wording.human import count, duration, share, times
from giltrace.wording.labels import Labels
from giltrace.wording.remedies import Outlook
from giltrace.wording.results import Results

_PARTS: Final = 3
_LINE_LIMIT: Final = 48
_CALLERS: Final = 6
_PERCENT: Final = 100
_KERNEL: Final = "What the kernel did with the threads"
_FREE: Final = "nobody (hand-off)"
_ENDED: Final = {
    Cause.FORCED: "forced",
    Cause.VOLUNTARY: "voluntary",
    Cause.UNKNOWN: "unknown",
    Cause.NONE: "never",
}


def all_of(results: Results, top: int) -> Iterator[Table]:
    """Every table that has something to show.

    Args:
        results: of the trace.
        top: rows of each at most.
    """
    threads = [one for one in results.summary.threads if one.acquires or one.waits]
    if not threads:
        return
    ordered = sorted(threads, key=lambda one: (one.hold_ns, one.wait_ns), reverse=True)
    left_out = _left_out(len(ordered) - top, "thread")
    yield _threads(ordered[:top], results.labels, left_out, results.trace)
    yield offgil.times(ordered[:top], results.activities, results.labels, left_out)
    if results.scheduling:
        yield _scheduling(results, [one.thread for one in ordered[:top]], left_out)
    yield _gils(results, top)
    if worst := worst_waits(results.trace, top):
        yield _worst(worst, results.trace, results.labels)
    if results.blamed_lines:
        yield _blame(results, top)
    if results.stacks:
        yield _stacks(results, top)
    if results.calls:
        yield offgil.calls(results.calls, results.labels, top)


def outlook(one: Outlook) -> Table:
    """What would help at one GIL."""
    rows = one.rows
    columns = [
        Column("remedy", [row.name for row in rows], text=True),
        Column("waits", [row.wait for row in rows], style="red"),
        Column("takes", [row.cycle for row in rows]),
        Column("from – to", [row.span for row in rows], 1),
        Column("times as fast", [row.gain for row in rows], style="green"),
        Column(f"{one.hogs} computes", [row.hogs for row in rows], 2),
    ]
    return Table(one.title, [column for column in columns if any(column.cells)])


def _threads(shown: Sequence[ThreadSummary], labels: Labels, left_out: str, trace: Trace) -> Table:
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
    return Table("Threads", columns, left_out)


def _scheduling(results: Results, threads: Sequence[int], left_out: str) -> Table:
    known = {one.thread: one for one in results.scheduling}
    shown = [known[thread] for thread in threads if thread in known]
    woken = results.trace.recorded_scheduling == "wakeups"
    runnable, sleeping = ("runnable", "sleeping") if woken else ("preempted", "off CPU")
    columns = [
        Column("thread", [results.labels.thread(one.thread) for one in shown], text=True),
        Column("on CPU", [_some(one.on_cpu_ns) for one in shown], style="green"),
        Column(runnable, [_some(one.runnable_ns) for one in shown], style="red"),
        Column(sleeping, [_some(one.sleeping_ns) for one in shown], 2, style="blue"),
        Column("turns", [f"{one.turns:,}" for one in shown], 4),
        Column(f"held {runnable}", [_some(one.held_runnable_ns) for one in shown], 0, style="red"),
        Column(f"held {sleeping}", [_some(one.held_sleeping_ns) for one in shown], 1, style="red"),
        Column("gap off CPU", [_some(one.gap_off_cpu_ns) for one in shown], 3),
    ]
    said = (
        "" if woken else "off CPU: asleep, or woken and waiting for a CPU; which, root can record"
    )
    return Table(_KERNEL, columns, "\n".join(filter(None, (left_out, said))))


def _some(ns: int) -> str:
    return _if(ns, ns)


def _if(condition: int, ns: int) -> str:
    return duration(ns) if condition else "-"


def _seen(one: ThreadSummary, number: int, trace: Trace) -> str:
    """A number of what cannot be seen where hand-offs are inferred."""
    process = trace.processes[trace.threads[one.thread].process]
    return "-" if process.inferred else f"{number:,}"


def _left_out(number: int, noun: str) -> str:
    return f"and {count(number, f'more {noun}')} (--top)" if number > 0 else ""


def _gils(results: Results, top: int) -> Table:
    trace, labels = results.trace, results.labels
    ordered = sorted(results.summary.gils, key=lambda one: (one.wait_ns, one.held_ns), reverse=True)
    columns = [
        Column("GIL of", text=True),
        Column("held", style="green"),
        Column("awaited", style="red"),
        Column("hand-offs", rank=3),
        Column("forced"),
        Column("voluntary", rank=1),
        Column("unknown", rank=4),
        Column("drop requests", rank=2),
    ]
    for one in ordered[:top]:
        inferred = trace.processes[trace.gils[one.gil].process].inferred
        unseen = [
            share(one.contention, 1),
            *(f"{n:,}" for n in (one.forced, one.voluntary, one.unknown, one.drop_requests)),
        ]
        awaited, *causes = ["-"] * len(unseen) if inferred else unseen
        row = (labels.gil(one.gil), share(one.utilisation, 1), awaited, f"{one.handoffs:,}")
        for column, cell in zip(columns, (*row, *causes), strict=True):
            column.cells.append(cell)
    return Table("GILs, and how releases came about", columns, _left_out(len(ordered) - top, "GIL"))


def _worst(worst: Sequence[WorstWait], trace: Trace, labels: Labels) -> Table:
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
    return Table("Worst waits", columns)


def _parts(one: WorstWait, trace: Trace, labels: Labels) -> tuple[list[str], list[str]]:
    """Who held the GIL and for how long, a line each, without what is next to nothing."""
    culprits: defaultdict[str, list[int]] = defaultdict(list)
    for part in one.parts:
        culprits[_culprit(part.hold, trace, labels)].append(part.ns)
    ordered = sorted(culprits.items(), key=lambda culprit: -sum(culprit[1]))
    shown = [(who, ns) for who, ns in ordered[:_PARTS] if sum(ns) * _PERCENT >= one.ns]
    lines = [f"{who} ({times(len(ns))})" if len(ns) > 1 else who for who, ns in shown]
    spans = [duration(sum(ns)) for _, ns in shown]
    rest_ns = one.ns - sum(sum(ns) for _, ns in shown)
    if rest_ns * _PERCENT >= one.ns:
        lines.append(f"and {len(one.parts) - sum(len(ns) for _, ns in shown):,} more")
        spans.append(duration(rest_ns))
    return lines, spans


def _culprit(hold: int, trace: Trace, labels: Labels) -> str:
    if hold == GAP:
        return _FREE
    thread = labels.thread(int(trace.holds.thread[hold]))
    place = labels.place(int(trace.holds.place[hold]))
    return f"{thread} at {place}" if place else thread


def _blame(results: Results, top: int) -> Table:
    trace, labels, rows = results.trace, results.labels, results.blamed_lines
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
    return Table("Blame: who waited for whom", columns, left_out)


def _stacks(results: Results, top: int) -> Table:
    """On whose behalf: the callers of what held the GIL, or had to wait for it."""
    labels, rows = results.labels, results.stacks
    shown = rows[:top]
    columns = [
        Column("thread", [labels.thread(row.thread) for row in shown], text=True),
        Column(
            "let go at, called from",
            [_chain(results, row.place, row.stack) for row in shown],
            text=True,
        ),
        Column("held", [duration(row.hold_ns) for row in shown], 2, style="green"),
        Column("others waited", [_if(row.blamed_ns, row.blamed_ns) for row in shown], style="red"),
        Column(
            "then waited",
            [_if(row.wait_after_ns, row.wait_after_ns) for row in shown],
            1,
            style="red",
        ),
        Column("times", [f"{row.holds:,}" for row in shown], 3),
    ]
    return Table("Call stacks", columns, _left_out(len(rows) - len(shown), "row"))


def _chain(results: Results, place: int, stack: int) -> str:
    """The innermost frame, and below it who called whom; a line each."""
    callers = results.trace.stacks[stack]
    shown = [place, *callers[:_CALLERS]]
    lines = [results.labels.place(number) or "-" for number in shown]
    lines += [f"and {len(callers) - _CALLERS} more"] if len(callers) > _CALLERS else []
    return "\n".join(lines)
