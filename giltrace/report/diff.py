"""Two recordings side by side: for a terminal, and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.text import Text

from giltrace.analysis.compare import (
    Comparison,
    FindingChange,
    Rates,
    Round,
    RoundChange,
    Side,
    ThreadChange,
    compare_sides,
)
from giltrace.model import Trace
from giltrace.model.text import printable
from giltrace.report.prose import UNLIMITED, console, finished, prose, prose_width
from giltrace.report.tables import Column, Table
from giltrace.report.text import unicode
from giltrace.wording.changes import cautions, changes, introduction
from giltrace.wording.human import count, duration, share
from giltrace.wording.labels import NAME_LIMIT
from giltrace.wording.results import Results

_ARROW: Final = " → "


class Diff:
    """Everything there is to say about two recordings."""

    def __init__(self, before: Trace, after: Trace) -> None:
        self.before, self.after = Results(before), Results(after)
        self.sides = Side(before), Side(after)
        self.comparison: Comparison = compare_sides(*self.sides)


def render(
    before: Trace, after: Trace, *, top: int = 10, width: int | None = None, colour: bool = False
) -> str:
    """What changed, as text: words first, then tables.

    Args:
        before: the first recording.
        after: the second.
        top: rows of each table.
        width: cells a line; None lets tables be as wide as they need.
        colour: use the escape sequences of a terminal.
    """
    diff = Diff(before, after)
    out, written = console(colour)
    narrow = prose_width(width)
    for head, text in introduction(diff.before, diff.after):
        out.print(Text.assemble((f"{head}: ", "bold"), prose(text)), width=narrow)
    if said := cautions(before, after):
        out.print()
        out.print(prose(" ".join(said), "yellow"), width=narrow)
    for paragraph in changes(diff.before, diff.after, diff.comparison):
        out.print()
        out.print(prose(paragraph), width=narrow)
    for table in _tables(diff, top):
        out.print()
        out.print(table.fit(width), width=max(width or UNLIMITED, table.least))
    return finished(written.getvalue(), colour)


def _tables(diff: Diff, top: int) -> list[Table]:
    tables = [_totals(diff)]
    if rounds := diff.comparison.rounds:
        tables.append(_rounds(rounds[:top]))
    if threads := diff.comparison.threads:
        more = len(threads) - top
        left_out = f"and {count(more, 'more name')} (--top)" if more > 0 else ""
        tables.append(_threads(threads[:top], left_out))
    return tables


def _totals(diff: Diff) -> Table:
    """The recordings as wholes; what is not a length or a share is per second."""
    rows = list(zip(_total(diff.sides[0]), _total(diff.sides[1]), strict=True))
    columns = [
        Column("all threads", [head for (head, _), _ in rows], text=True),
        Column("before", [text for (_, text), _ in rows]),
        Column("after", [text for _, (_, text) in rows]),
    ]
    return Table("The recordings", columns)


def _total(side: Side) -> list[tuple[str, str]]:
    gils, wall_ns = side.summary.gils, side.wall_ns
    busiest = max(gils, key=lambda one: one.utilisation, default=None)
    unseen = any(process.inferred for process in side.trace.processes)

    def rate(number: int) -> str:
        return "-" if unseen or wall_ns <= 0 else f"{number * 1e9 / wall_ns:,.1f}"

    waited_ns = sum(one.wait_ns for one in gils)
    return [
        ("recorded for", duration(wall_ns)),
        ("GIL held", share(busiest.utilisation, 1) if busiest else "-"),
        ("waited for it", "-" if unseen else share(waited_ns, wall_ns)),
        ("waits a second", rate(sum(one.waits for one in gils))),
        ("drop requests a second", rate(sum(one.drop_requests for one in gils))),
        ("forced releases a second", rate(sum(one.forced for one in gils))),
        ("lost events", f"{side.trace.lost_events:,}"),
    ]


def _rounds(rounds: Sequence[RoundChange]) -> Table:
    columns = [
        Column("thread", [_name(one.name) for one in rounds], text=True),
        Column("begins with", [printable(one.call, NAME_LIMIT) for one in rounds], 3, text=True),
        Column("takes", [_pair(one.before, one.after, _takes) for one in rounds]),
        Column("waits", [_pair(one.before, one.after, _waits) for one in rounds], style="red"),
        Column("holds", [_pair(one.before, one.after, _holds) for one in rounds], 2, style="green"),
        Column("number of waits", [_pair(one.before, one.after, _times) for one in rounds], 1),
    ]
    return Table("One iteration, before → after", columns)


def _takes(one: Round) -> str:
    return duration(one.ns)


def _waits(one: Round) -> str:
    return duration(one.wait_ns)


def _holds(one: Round) -> str:
    return duration(one.hold_ns)


def _times(one: Round) -> str:
    return f"{one.waits:.1f}"


def _threads(threads: Sequence[ThreadChange], left_out: str) -> Table:
    columns = [
        Column("thread", [_name(one.name) for one in threads], text=True),
        Column("threads", [_pair(one.before, one.after, _number) for one in threads], 4),
        Column("holds", [_pair(one.before, one.after, _held) for one in threads], style="green"),
        Column("waits", [_pair(one.before, one.after, _waited) for one in threads], style="red"),
        Column("waits a second", [_pair(one.before, one.after, _rate) for one in threads], 2),
        Column("stalls a second", [_pair(one.before, one.after, _stalls) for one in threads], 1),
        Column("wait p99", [_pair(one.before, one.after, _p99) for one in threads], 3),
    ]
    if all(
        side is None or side.threads == 1 for one in threads for side in (one.before, one.after)
    ):
        del columns[1]
    return Table("Threads by name, before → after", columns, left_out)


def _number(one: Rates) -> str:
    return f"{one.threads:,}"


def _held(one: Rates) -> str:
    return share(one.hold_ns, one.wall_ns)


def _waited(one: Rates) -> str:
    return "?" if one.inferred else share(one.wait_ns, one.wall_ns)


def _rate(one: Rates) -> str:
    return "?" if one.inferred else f"{one.per_second(one.waits):,.1f}"


def _stalls(one: Rates) -> str:
    return "?" if one.inferred else f"{one.per_second(one.stalls):,.1f}"


def _p99(one: Rates) -> str:
    return "?" if one.inferred else duration(one.wait_p99_ns) if one.waits else "-"


def _pair(before: Any, after: Any, text: Any) -> str:
    """``5 ms → 1 ms``; a dash for a side that there is none of."""
    return _ARROW.join("-" if side is None else text(side) for side in (before, after))


def _name(name: str) -> str:
    return printable(name, NAME_LIMIT)


# --------------------------------------------------------------------- JSON


def render_json(before: Trace, after: Trace) -> str:
    """What changed, as one JSON object in ASCII that ends with a line feed."""
    return json.dumps(as_object(before, after), indent=2) + "\n"


def as_object(before: Trace, after: Trace) -> dict[str, Any]:
    """What changed, as what `json.dumps` takes; times are integer nanoseconds."""
    diff = Diff(before, after)
    return {
        "before": _recording(diff.sides[0]),
        "after": _recording(diff.sides[1]),
        "cautions": cautions(before, after),
        "words": changes(diff.before, diff.after, diff.comparison),
        "findings": [_finding(diff, one) for one in diff.comparison.findings],
        "iterations": [
            {
                "thread": unicode(one.name),
                "call": unicode(one.call) or None,
                "where": {"file": unicode(one.where[0]), "qualname": unicode(one.where[1])},
                "before": one.before and _round(one.before),
                "after": one.after and _round(one.after),
            }
            for one in diff.comparison.rounds
        ],
        "threads": [
            {
                "thread": unicode(one.name),
                "before": one.before and _rates(one.before),
                "after": one.after and _rates(one.after),
            }
            for one in diff.comparison.threads
        ],
    }


def _recording(side: Side) -> dict[str, Any]:
    trace, gils = side.trace, side.summary.gils
    unseen = any(process.inferred for process in trace.processes)
    seen = {
        "wait_ns": sum(one.wait_ns for one in gils),
        "waits": sum(one.waits for one in gils),
        "drop_requests": sum(one.drop_requests for one in gils),
        "forced": sum(one.forced for one in gils),
    }
    return {
        "argv": [unicode(word) for word in trace.session.argv],
        "wall_ns": side.wall_ns,
        "processes": len(trace.processes),
        "threads": len(trace.threads),
        "lost_events": trace.lost_events,
        "inferred": unseen,
        "held_ns": sum(one.held_ns for one in gils),
        **(dict.fromkeys(seen) if unseen else seen),
    }


def _finding(diff: Diff, one: FindingChange) -> dict[str, Any]:
    finding, results = (
        (one.before, diff.before) if one.before is not None else (one.after, diff.after)
    )
    assert finding is not None
    return {
        "status": one.status.value,
        "kind": finding.kind.value,
        "victims": [results.labels.thread(victim.thread) for victim in finding.victims],
        "hogs": [results.labels.thread(hog.thread) for hog in finding.hogs],
        "before_share": one.before_share,
        "after_share": one.after_share,
        "before_lost_ns": one.before.lost_ns + one.before.shared_ns if one.before else 0,
        "after_lost_ns": one.after.lost_ns + one.after.shared_ns if one.after else 0,
    }


def _round(one: Round) -> dict[str, Any]:
    return {
        "iterations": one.iterations,
        "ns": one.ns,
        "hold_ns": one.hold_ns,
        "wait_ns": one.wait_ns,
        "waits": one.waits,
    }


def _rates(one: Rates) -> dict[str, Any]:
    waited = {
        "wait_ns": one.wait_ns,
        "waits": one.waits,
        "stalls": one.stalls,
        "wait_p99_ns": one.wait_p99_ns,
        "wait_max_ns": one.wait_max_ns,
    }
    return {
        "threads": one.threads,
        "wall_ns": one.wall_ns,
        "hold_ns": one.hold_ns,
        "acquires": one.acquires,
        "inferred": one.inferred,
        **(dict.fromkeys(waited) if one.inferred else waited),
    }
