"""The tables about time off the GIL: where each thread's time went, and in which calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giltrace.analysis.activity import Activity
from giltrace.analysis.calls import CallRow, Source
from giltrace.analysis.summary import ThreadSummary
from giltrace.model.calls import OffKind
from giltrace.model.text import printable
from giltrace.report.tables import Column, Table
from giltrace.wording.human import count, duration
from giltrace.wording.labels import Labels

CALL_LIMIT: Final = 40
_DESCRIPTOR_LIMIT: Final = 48
_UNNAMED: Final = "(unknown)"
KINDS: Final = {
    OffKind.UNKNOWN: "unknown",
    OffKind.BLOCKED: "blocked",
    OffKind.SLEEP: "sleep",
    OffKind.LOCK: "lock",
    OffKind.NATIVE: "native",
    OffKind.SWITCH: "forced out",
}


def times(
    threads: Sequence[ThreadSummary], activities: Sequence[Activity], labels: Labels, left_out: str
) -> Table:
    """Where the time of these threads went."""
    shown = [activities[one.thread] for one in threads]
    columns = [
        Column("thread", [labels.thread(one.thread) for one in threads], text=True),
        Column("held", [_ns(one.hold_ns) for one in threads], style="green"),
        Column("waited", [_ns(one.wait_ns) for one in threads], style="red"),
        Column("blocked", [_ns(one.blocked_ns) for one in shown], style="blue"),
        Column("sleep", [_ns(one.sleep_ns) for one in shown], 3, style="blue"),
        Column("lock", [_ns(one.lock_ns) for one in shown], 2, style="blue"),
        Column("native", [_ns(one.native_ns) for one in shown], 1, style="magenta"),
        Column("switching", [_ns(one.switch_ns) for one in shown], 6),
        Column("unknown", [_ns(one.unknown_ns) for one in shown], 4),
        Column("held idle", [_ns(one.not_running_ns) for one in shown], 5),
    ]
    return Table("Where the time went", columns, left_out)


def calls(rows: Sequence[CallRow], labels: Labels, top: int) -> Table:
    """In which calls threads were off the GIL, and what it cost to get it back."""
    shown = rows[:top]
    columns = [
        Column("thread", [labels.thread(row.thread) for row in shown], text=True),
        Column("call", [call_label(row, labels) for row in shown], text=True),
        Column("kind", [KINDS[row.kind] for row in shown], 2),
        Column("times", [f"{row.count:,}" for row in shown], 1),
        Column("for", [duration(row.off_ns) for row in shown], style="blue"),
        Column("then waited", [_ns(row.wait_after_ns) for row in shown], style="red"),
        Column("each time", [_each(row) for row in shown], 3),
    ]
    if any(row.woken_by for row in shown):
        columns.append(Column("woken by", [_woken(row, labels) for row in shown], 5, text=True))
    if any(row.descriptors for row in shown):
        columns.append(Column("about", [_about(row) for row in shown], 4, text=True))
    more = len(rows) - len(shown)
    return Table(
        "Off the GIL: in which calls, and how long it took to get it back",
        columns,
        f"and {count(more, 'more row')} (--top)" if more > 0 else "",
    )


def call_label(row: CallRow, labels: Labels) -> str:
    """What to call it: its name, in quotes if it is taken from the source, or its place."""
    if row.source is Source.NONE:
        return f"at {labels.place(row.places[0])}" if row.places else _UNNAMED
    name = printable(row.call, CALL_LIMIT)
    return f"‘{name}’" if row.source is Source.TEXT else name


def _ns(ns: int) -> str:
    return duration(ns) if ns else "-"


def _each(row: CallRow) -> str:
    return duration(round(row.wait_after_ns / row.count)) if row.wait_after_ns else "-"


def _woken(row: CallRow, labels: Labels) -> str:
    """Who ended most of its waits, and how many of them."""
    if not row.woken_by:
        return ""
    who, times = row.woken_by[0]
    return f"{labels.thread(who)} ({times:,})"


def _about(row: CallRow) -> str:
    return "\n".join(printable(what, _DESCRIPTOR_LIMIT) for what in row.descriptors)
