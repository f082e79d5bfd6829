"""All there is to say about one interval of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from giltrace.analysis.blame import GAP, blame
from giltrace.analysis.timeline.state import State
from giltrace.model import Cause, Trace
from giltrace.model.dense import sums
from giltrace.model.text import printable
from giltrace.tui.source import CodeLine, Details, Interval, Part
from giltrace.tui.words import NAMES, hold_call, off_call
from giltrace.wording.human import count, duration, share

if TYPE_CHECKING:
    from giltrace.tui.trace_source import TraceSource

_PARTS: Final = 20
_AROUND: Final = 1
_FUNCTIONS: Final = 5
_LOOKED_AT: Final = 10_000
_Fact = tuple[str, str]

CAUSES: Final[dict[Cause, str]] = {
    Cause.FORCED: "forced",
    Cause.VOLUNTARY: "voluntary",
    Cause.UNKNOWN: "unknown",
    Cause.NONE: "not ended when the record does",
}


def describe(source: TraceSource, interval: Interval) -> Details:
    """All there is to say about an interval."""
    if interval.state is State.WAITING:
        return _wait(source, interval)
    return _hold(source, interval) if interval.state.is_held else _off(source, interval)


def _wait(source: TraceSource, interval: Interval) -> Details:
    trace, wait = source.trace, interval.ref
    hold = int(trace.waits.hold[wait])
    parts, more = _held_by(source, wait)
    facts = [_when(source, interval), *_came_from(source, interval)]
    requests = int(trace.waits.requests[wait])
    if requests:
        facts.append(("asked", f"{count(requests, 'drop request')} made"))
    facts.append(("ended", _ended(source, hold)))
    facts += _functions(source, interval)
    largest = next((part.interval for part in parts if part.interval is not None), None)
    place = int(trace.holds.place[largest.ref]) if largest else 0
    return Details(
        f"{_who(source, interval)} waited for the GIL for {duration(interval.ns)}",
        True,
        tuple(facts),
        "Held meanwhile by",
        tuple(parts),
        more,
        *_code(trace, place),
    )


def _ended(source: TraceSource, hold: int) -> str:
    trace = source.trace
    if hold < 0:
        return "never, as far as is known"
    if hold == 0 or trace.holds.gil[hold - 1] != trace.holds.gil[hold]:
        return "with the first hold on record"
    before = hold - 1
    who = source.labels.thread(int(trace.holds.thread[before]))
    match Cause(int(trace.holds.cause[before])):
        case Cause.FORCED:
            return f"forced: {who} was made to let go"
        case Cause.VOLUNTARY:
            call = hold_call(trace, before)
            return f"voluntary: {who} let go by itself" + (f", in {call}" if call else "")
        case Cause.UNKNOWN:
            return f"unknown: {who} may have been made to let go"
        case Cause.NONE:
            return f"{who} held it before; how that ended is not on record"


def _held_by(source: TraceSource, wait: int) -> tuple[list[Part], int]:
    """Whose holds a wait fell on, by thread, line and call; and how many of these are left out."""
    trace, holds = source.trace, source.trace.holds
    split = blame(trace, np.array([wait]))
    total = int(trace.waits.end[wait] - trace.waits.start[wait])
    # A wait that lasts for all of a recording meets every hold in it.
    hold = np.maximum(split.hold, 0)
    line = trace.line_of[holds.place[hold]]
    key = holds.thread[hold].astype(np.int64) * len(trace.places) + line
    key = key * len(trace.calls) + holds.call[hold]
    key[split.hold == GAP] = -1
    groups, index = np.unique(key, return_inverse=True)
    ns = sums(index, split.ns, len(groups))
    largest = np.zeros(len(groups), np.int64)
    by_length = np.argsort(split.ns, kind="stable")
    largest[index[by_length]] = split.hold[by_length]
    found = []
    for group in np.argsort(-ns, kind="stable")[:_PARTS].tolist():
        own, one = int(ns[group]), int(largest[group])
        if one == GAP:
            found.append(Part(-1, "nobody (hand-off gap)", own, share(own, total), ""))
            continue
        interval = source.of_hold(one)
        label = source.labels.thread(int(holds.thread[one]))
        where = _where(source, one)
        found.append(Part(interval.lane, label, own, share(own, total), where, interval))
    return found, len(groups) - len(found)


def _hold(source: TraceSource, interval: Interval) -> Details:
    trace, hold = source.trace, interval.ref
    holds = trace.holds
    place = int(holds.place[hold])
    facts = [_when(source, interval)]
    if place:
        facts.append(("let go at", source.labels.place(place)))
    facts += _expression(trace, place)
    if call := hold_call(trace, hold):
        facts.append(("in", call))
    cause = Cause(int(holds.cause[hold]))
    facts.append(("cause", CAUSES[cause]))
    idle = int(trace.running.not_running_ns[hold])
    if idle > 0:
        facts.append(("not running", f"{duration(idle)} ({share(idle, interval.ns)})"))
    facts += _neighbours(source, interval)
    facts += _callers(source, hold)
    facts += _functions(source, interval)
    parts, more = _kept_waiting(source, interval)
    return Details(
        f"{_who(source, interval)} held the GIL for {duration(interval.ns)}",
        False,
        tuple(facts),
        "Kept waiting" if parts else "",
        tuple(parts),
        more,
        *_code(trace, place),
    )


def _neighbours(source: TraceSource, interval: Interval) -> Iterator[_Fact]:
    """From whom a hold came, and who got the GIL afterwards."""
    trace, hold = source.trace, interval.ref
    holds = trace.holds
    handed = source.handed
    if handed[hold]:
        latency = duration(int(holds.start[hold] - holds.end[hold - 1]))
        yield "came from", f"{source.labels.thread(int(holds.thread[hold - 1]))}, after {latency}"
    if hold + 1 >= len(holds) or holds.gil[hold + 1] != holds.gil[hold]:
        return
    latency = duration(int(holds.start[hold + 1] - holds.end[hold]))
    if handed[hold + 1]:
        yield "went to", f"{source.labels.thread(int(holds.thread[hold + 1]))}, after {latency}"
    elif holds.thread[hold + 1] == holds.thread[hold]:
        yield "then", f"taken again by the same thread, after {latency}"


def _callers(source: TraceSource, hold: int) -> Iterator[_Fact]:
    stack = source.trace.stacks[int(source.trace.holds.stack[hold])]
    for number, place in enumerate(stack[:5]):
        yield "" if number else "called from", source.labels.place(place)


def _functions(source: TraceSource, interval: Interval) -> Iterator[_Fact]:
    """The functions that the thread was in, innermost first, if they were recorded."""
    spans = source.trace.spans
    if not len(spans):
        return
    thread = source.thread_of(interval.lane)
    first, last = (int(at) for at in np.searchsorted(spans.thread, [thread, thread + 1]))
    at = first + int(np.searchsorted(spans.start[first:last], interval.start, side="right"))
    low = max(first, at - _LOOKED_AT)
    around = low + np.flatnonzero(spans.end[low:at] > interval.start)
    for number, span in enumerate(around[::-1][:_FUNCTIONS].tolist()):
        yield "" if number else "function", source.labels.place(int(spans.place[span]))


def _kept_waiting(source: TraceSource, interval: Interval) -> tuple[list[Part], int]:
    """Which threads waited during a hold, and how many of them are left out."""
    waited = source.waiting(interval)
    order = np.argsort(-waited[1], kind="stable")
    order = order[waited[1][order] > 0]
    parts = [
        Part(
            lane,
            source.lanes[lane].label,
            ns,
            share(ns, interval.ns),
            "",
            source.first_wait(lane, interval),
        )
        for lane, ns in ((int(waited[0][i]), int(waited[1][i])) for i in order[:_PARTS])
    ]
    return parts, len(order) - len(parts)


def _off(source: TraceSource, interval: Interval) -> Details:
    trace, hold = source.trace, interval.ref
    call = off_call(trace, interval)
    place = int(trace.holds.place[hold])
    facts = [_when(source, interval), ("state", NAMES[interval.state])]
    if call:
        facts.append(("in", call))
    fd = int(trace.holds.fd[hold])
    if fd >= 0 and interval.state is not State.SWITCHING:
        process = trace.threads[int(trace.holds.thread[hold])].process
        what = printable(trace.descriptors.describe_fd(process, fd, interval.start))
        facts.append(("on", what or f"file descriptor {fd}"))
    if place:
        facts.append(("let go at", source.labels.place(place)))
    facts += _expression(trace, place)
    cpu = int(trace.running.off_cpu_ns[hold])
    if cpu >= 0:
        facts.append(("CPU time", f"{duration(cpu)} ({share(cpu, interval.ns)})"))
    facts += _got_back(source, interval)
    facts += _functions(source, interval)
    return Details(
        f"{_who(source, interval)} was off the GIL for {duration(interval.ns)}",
        False,
        tuple(facts),
        "",
        (),
        0,
        *_code(trace, place),
    )


def _got_back(source: TraceSource, interval: Interval) -> Iterator[_Fact]:
    after = source.at(interval.lane, interval.end)
    if after is None:
        return
    if after.state is State.WAITING:
        yield "then", f"waited for the GIL for {duration(after.ns)}"
    elif after.state.is_held:
        yield "then", "took the GIL without a wait"


def _came_from(source: TraceSource, interval: Interval) -> Iterator[_Fact]:
    """What a thread did before it waited."""
    before = source.at(interval.lane, interval.start - 1)
    if before is None or not before.state.is_off:
        return
    what = off_call(source.trace, before) or NAMES[before.state]
    yield "before", f"{what}, {duration(before.ns)}"
    if place := source.labels.place(int(source.trace.holds.place[before.ref])):
        yield "at", place


def _expression(trace: Trace, place: int) -> Iterator[_Fact]:
    text = trace.expressions.of(trace.places[place]).text if place else ""
    if text:
        yield "expression", text


def _where(source: TraceSource, hold: int) -> str:
    place = source.labels.place(int(source.trace.holds.place[hold]))
    call = hold_call(source.trace, hold)
    if not call:
        return place
    return f"{place}, {call}" if place else call


def _who(source: TraceSource, interval: Interval) -> str:
    return source.lanes[interval.lane].label


def _when(source: TraceSource, interval: Interval) -> _Fact:
    since, until = interval.start - source.start_ns, interval.end - source.start_ns
    return "from – to", f"{since / 1e9:.6f} s – {until / 1e9:.6f} s"


def _code(trace: Trace, place: int) -> tuple[tuple[CodeLine, ...], str]:
    """Source lines around a place, and what to write above them."""
    where = trace.places[place]
    if not place or not where.line:
        return (), ""
    first, last = where.line - _AROUND, where.line + _AROUND
    lines = trace.expressions.lines(where.filename, first, last)
    code = tuple(CodeLine(number, text, number == where.line) for number, text in lines)
    return code, printable(str(where), 60) if code else ""
