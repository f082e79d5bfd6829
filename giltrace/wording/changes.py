"""What changed from one recording to another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from giltrace.analysis.compare import CHANGED, Comparison, FindingChange, RoundChange, Status
from giltrace.model import Trace
from giltrace.model.text import printable
from giltrace.wording.human import count, duration, share
from giltrace.wording.opening import notes, scene
from giltrace.wording.results import Results
from giltrace.wording.stories import tell

_CALL_LIMIT: Final = 40
_NAME_LIMIT: Final = 40
_LENGTHS: Final = 1.5
"""Recordings whose lengths differ by this factor are of different workloads, or nearly so."""


def changes(before: Results, after: Results, comparison: Comparison) -> list[str]:
    """What changed, a paragraph each: the findings first, then what an iteration takes."""
    said = [*_findings(before, after, comparison), *map(round_words, comparison.rounds)]
    if not comparison.rounds:
        said.append(
            "Nothing was found that a thread does again and again in both, so only rates compare."
        )
    return said


def introduction(before: Results, after: Results) -> list[tuple[str, str]]:
    """What the two recordings are."""
    return [
        (head, " ".join((*notes(results.trace), *scene(results))))
        for head, results in (("Before", before), ("After", after))
    ]


def cautions(before: Trace, after: Trace) -> list[str]:
    """What has to be known before the two are compared, in sentences."""
    return list(_cautions(before, after))


def _cautions(before: Trace, after: Trace) -> Iterator[str]:
    lengths = [trace.end_ns - trace.start_ns for trace in (before, after)]
    if max(lengths) > _LENGTHS * min(lengths):
        yield (
            f"The recordings are of different length ({duration(lengths[0])} and "
            f"{duration(lengths[1])}): only rates and iterations compare, totals do not."
        )
    if before.session.argv != after.session.argv:
        yield "They are of different command lines, so they may have done different work."
    pythons = [
        {(one.implementation, one.python) for one in trace.processes} for trace in (before, after)
    ]
    if pythons[0] != pythons[1]:
        yield "They ran on different Pythons."
    if before.session.host != after.session.host:
        yield "They ran on different machines."
    lost = [trace.lost_events for trace in (before, after)]
    if any(lost):
        yield f"Events are missing: {lost[0]:,} before, {lost[1]:,} after."
    if any(one.inferred for trace in (before, after) for one in trace.processes):
        yield "Where hand-offs are inferred, waits were not seen, and no finding is good news."


def _findings(before: Results, after: Results, comparison: Comparison) -> Iterator[str]:
    if not comparison.findings:
        yield "Nothing is the matter with the GIL, neither before nor after."
    for change in comparison.findings:
        yield finding_words(before, after, change)


def finding_words(before: Results, after: Results, change: FindingChange) -> str:
    """What became of a finding."""
    old, new = share(change.before_share, 1), share(change.after_share, 1)
    title = (
        tell(after, change.after).title
        if change.after is not None
        else tell(before, change.before).title
        if change.before is not None
        else ""
    )
    match change.status:
        case Status.GONE:
            return f"Gone: {title}"
        case Status.NEW:
            return f"New: {title}"
        case Status.SAME:
            return f"Still there, about as before ({old} and {new} of the time): {title}"
        case Status.LESS:
            return f"Less of it ({old} of the time before, {new} after): {title}"
        case Status.MORE:
            return f"More of it ({old} of the time before, {new} after): {title}"


def round_words(change: RoundChange) -> str:
    """What an iteration takes, before and after."""
    name = f"`{printable(change.name, _NAME_LIMIT)}`"
    filename, function = (printable(part, _NAME_LIMIT) for part in change.where)
    at = f" in {function} ({filename})" if function else f" in {filename}" if filename else ""
    what = f"An iteration of {name}, which begins with {printable(change.call, _CALL_LIMIT)}{at},"
    before, after = change.before, change.after
    if before is None or after is None:
        known, side, other = (
            (before, "before", "after") if after is None else (after, "after", "before")
        )
        took = duration(known.ns) if known else "-"
        return f"{what} took {took} {side}; {other}, there are none that begin so."
    return (
        f"{what} took {duration(before.ns)} before and {_change(before.ns, after.ns)}. It waited "
        f"for the GIL for {_amount(before.wait_ns)} of that before, and for "
        f"{_amount(after.wait_ns)} after ({count(before.iterations, 'iteration')} and "
        f"{after.iterations:,})."
    )


def _amount(ns: int) -> str:
    return duration(ns) if ns else "nothing"


def _change(before_ns: int, after_ns: int) -> str:
    """``takes 5 ms after, 2.0 times as fast``."""
    after = f"takes {duration(after_ns)} after"
    low, high = sorted((max(1, before_ns), max(1, after_ns)))
    if high - low < CHANGED * high:
        return f"{after}, about the same"
    factor = high / low
    times = f"{factor:.1f}" if factor < 99.95 else f"{factor:,.0f}"
    return f"{after}, {times} times as {'fast' if after_ns < before_ns else 'long'}"
