"""What holds in every trace. `check` is how tests and ``giltrace doctor`` make sure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from giltrace.model.calls import OffKind
from giltrace.model.dense import by_thread, gather
from giltrace.model.scheduling import Scheduled
from giltrace.model.spans import nests
from giltrace.model.tables import Bool, Cause, Columns
from giltrace.model.trace import Trace


def check(trace: Trace) -> list[str]:
    """The invariants that a trace breaks, each as a sentence; an empty list is what one expects.

    At most one holder of a GIL at any time, in the order of tenures; no thread waits for what it
    holds, or twice at once; each wait ends where the hold it led to begins; each drop request falls
    inside another thread's hold; nobody holds a GIL for longer than it was watched. CPU clocks do
    not run backwards, and nothing takes more CPU time than it lasts; function calls nest. The
    kernel does one thing with a thread at a time.
    """
    problems = list(_indices(trace))
    if problems:
        # With wrong indices the other questions make no sense.
        return problems
    problems += [*_holds(trace), *_walls(trace), *_waits(trace), *_own(trace), *_requests(trace)]
    problems += [*_clocks(trace), *_spans(trace), *_scheduling(trace)]
    # What follows from all this can only be right if all this is.
    return problems or list(_derived(trace))


def _report(broken: Bool, text: str) -> Iterator[str]:
    count = int(np.count_nonzero(broken))
    if count:
        yield f"{text}: {count:,} times, first at row {int(np.argmax(broken)):,}"


def _indices(trace: Trace) -> Iterator[str]:
    holds, waits, requests = trace.holds, trace.waits, trace.drop_requests
    limits: tuple[tuple[str, int, tuple[Columns, ...]], ...] = (
        ("gil", len(trace.gils), (holds, waits, requests)),
        (
            "thread",
            len(trace.threads),
            (holds, waits, requests, trace.cpu, trace.spans, trace.scheduling),
        ),
        ("place", len(trace.places), (holds, trace.spans)),
        ("stack", len(trace.stacks), (holds,)),
        ("call", len(trace.calls), (holds,)),
        ("cause", len(Cause), (holds,)),
        ("state", len(Scheduled), (trace.scheduling,)),
    )
    yield from _report(holds.fd < -1, "Holds.fd out of range")
    yield from _report(trace.spans.depth < 1, "FunctionSpans.depth out of range")
    for name, limit, tables in limits:
        for table in tables:
            column = getattr(table, name)
            kind = type(table).__name__
            yield from _report((column < 0) | (column >= limit), f"{kind}.{name} out of range")
    for kind, hold in (("Waits", waits.hold), ("DropRequests", requests.hold)):
        yield from _report((hold < -1) | (hold >= len(holds)), f"{kind}.hold out of range")
    yield from _report((trace.breaks < 0) | (trace.breaks >= len(holds)), "breaks out of range")
    if list(range(len(trace.gils))) != [gil.index for gil in trace.gils]:
        yield "gils are not in the order of their indices"
    owner = np.array([thread.process for thread in trace.threads], np.int64)
    home = np.array([gil.process for gil in trace.gils], np.int64)
    for table in (holds, waits, requests):
        if len(table) and not any(_report((table.gil < 0) | (table.gil >= len(home)), "")):
            strange = owner[np.minimum(table.thread, len(owner) - 1)] != home[table.gil]
            yield from _report(strange, f"{type(table).__name__}: thread and GIL of two processes")


def _holds(trace: Trace) -> Iterator[str]:
    holds = trace.holds
    same = holds.gil[1:] == holds.gil[:-1]
    yield from _report(holds.gil[1:] < holds.gil[:-1], "holds are not sorted by GIL")
    yield from _report(holds.end < holds.start, "a hold ends before it begins")
    yield from _report(same & (holds.start[1:] < holds.end[:-1]), "a GIL has two holders at once")
    known = np.flatnonzero(holds.tenure > 0)
    falls = holds.tenure[known[1:]] <= holds.tenure[known[:-1]]
    falls &= holds.gil[known[1:]] == holds.gil[known[:-1]]
    yield from _report(falls, "tenure numbers of a GIL do not ascend")


def _walls(trace: Trace) -> Iterator[str]:
    for gil in trace.gils:
        for rows, where in ((trace.holds, trace.holds_of), (trace.waits, trace.waits_of)):
            mine = where(gil.index)
            start, end = rows.start[mine], rows.end[mine]
            outside = (start < gil.start_ns) | (end > gil.end_ns)
            yield from _report(
                outside, f"{type(rows).__name__}: outside the time that GIL {gil.index} was watched"
            )
        held = int(trace.holds.ns[trace.holds_of(gil.index)].sum())
        if held > gil.wall_ns:
            yield f"GIL {gil.index} was held for {held} ns in {gil.wall_ns} ns"


def _waits(trace: Trace) -> Iterator[str]:
    holds, waits = trace.holds, trace.waits
    same = waits.gil[1:] == waits.gil[:-1]
    yield from _report(waits.gil[1:] < waits.gil[:-1], "waits are not sorted by GIL")
    yield from _report(same & (waits.start[1:] < waits.start[:-1]), "waits are not sorted by start")
    yield from _report(waits.end < waits.start, "a wait ends before it begins")
    granted = np.flatnonzero(waits.hold >= 0)
    hold = waits.hold[granted]
    yield from _report(holds.start[hold] != waits.end[granted], "a wait does not end at its hold")
    strange = (holds.thread[hold] != waits.thread[granted]) | (
        holds.gil[hold] != waits.gil[granted]
    )
    yield from _report(strange, "a wait led to the hold of another thread or GIL")
    if len(np.unique(hold)) != len(hold):
        yield "several waits led to one hold"


def _own(trace: Trace) -> Iterator[str]:
    """Of one thread on one GIL, holds and waits take turns."""
    text = "a thread waits for, or holds, a GIL twice at once"
    holds, waits = trace.holds, trace.waits
    request = holds.start.copy()
    granted = np.flatnonzero(waits.hold >= 0)
    request[waits.hold[granted]] = waits.start[granted]
    order = by_thread(holds.thread, len(trace.threads))
    # A hold of no length takes no turn: it may be all that is known of one, at the end of a wait.
    order = order[gather(holds.end > request, order)]
    lane = gather(holds.thread, order).astype(np.int64) << 32 | gather(holds.gil, order)
    end, request = gather(holds.end, order), gather(request, order)
    yield from _report((end[:-1] > request[1:]) & (lane[:-1] == lane[1:]), text)
    vain = np.flatnonzero(waits.hold < 0)
    lanes = waits.thread[vain].astype(np.int64) << 32 | waits.gil[vain]
    for one in np.unique(lanes):
        first, last = np.searchsorted(lane, [one, one + 1])
        mine = vain[lanes == one]
        since, until = waits.start[mine], waits.end[mine]
        following = first + np.searchsorted(end[first:last], since, side="right")
        before = following < last
        before[before] = request[following[before]] < until[before]
        yield from _report(before, text)
        yield from _report(until[:-1] > since[1:], text)


def _requests(trace: Trace) -> Iterator[str]:
    holds, requests = trace.holds, trace.drop_requests
    same = requests.gil[1:] == requests.gil[:-1]
    yield from _report(requests.gil[1:] < requests.gil[:-1], "drop requests not sorted by GIL")
    yield from _report(same & (requests.ts[1:] < requests.ts[:-1]), "drop requests not in time")
    named = np.flatnonzero(requests.hold >= 0)
    hold, ts = requests.hold[named], requests.ts[named]
    outside = (ts < holds.start[hold]) | (ts > holds.end[hold])
    yield from _report(outside, "a drop request is not inside the hold it names")
    own = holds.thread[hold] == requests.thread[named]
    yield from _report(own, "a thread asks itself to drop the GIL")
    other = holds.gil[hold] != requests.gil[named]
    yield from _report(other, "a drop request names a hold of another GIL")


def _clocks(trace: Trace) -> Iterator[str]:
    cpu = trace.cpu
    same = cpu.thread[1:] == cpu.thread[:-1]
    yield from _report(cpu.thread[1:] < cpu.thread[:-1], "CPU readings are not sorted by thread")
    yield from _report(same & (cpu.ts[1:] <= cpu.ts[:-1]), "CPU readings are not in time")
    yield from _report(same & (cpu.cpu_ns[1:] < cpu.cpu_ns[:-1]), "a CPU clock runs backwards")


def _spans(trace: Trace) -> Iterator[str]:
    spans = trace.spans
    thread, start, end = spans.thread, spans.start, spans.end
    same = thread[1:] == thread[:-1]
    yield from _report(end < start, "a function call ends before it begins")
    yield from _report(thread[1:] < thread[:-1], "function calls are not sorted by thread")
    unsorted = same & (start[1:] < start[:-1])
    yield from _report(unsorted, "function calls are not sorted by start")
    inner_first = same & (start[1:] == start[:-1]) & (end[1:] > end[:-1])
    yield from _report(inner_first, "an inner function call comes before an outer one")
    since = np.array([process.start_ns for process in trace.processes], np.int64)
    until = np.array([process.end_ns for process in trace.processes], np.int64)
    owner = np.array([one.process for one in trace.threads], np.int64)[thread]
    outside = (start < since[owner]) | (end > until[owner])
    yield from _report(outside, "a function call is outside the time its process was watched")


def _scheduling(trace: Trace) -> Iterator[str]:
    spans = trace.scheduling
    same = spans.thread[1:] == spans.thread[:-1]
    on_cpu = spans.state == Scheduled.ON_CPU
    yield from _report(spans.thread[1:] < spans.thread[:-1], "scheduling is not sorted by thread")
    yield from _report(spans.end <= spans.start, "a span of scheduling has no length")
    yield from _report(same & (spans.start[1:] < spans.end[:-1]), "a thread is scheduled twice")
    yield from _report((spans.cpu >= 0) != on_cpu, "a thread is on a CPU and is not")
    since = np.array([process.start_ns for process in trace.processes], np.int64)
    until = np.array([process.end_ns for process in trace.processes], np.int64)
    owner = np.array([one.process for one in trace.threads], np.int64)[spans.thread]
    outside = (spans.start < since[owner]) | (spans.end > until[owner])
    yield from _report(outside, "scheduling outside the time its process was watched")


def _derived(trace: Trace) -> Iterator[str]:
    off, idle = trace.off_gil, trace.running.not_running_ns
    yield from _report(~nests(trace.spans), "a function call crosses another one")
    too_long = (idle < -1) | (idle > trace.holds.ns)
    yield from _report(too_long, "a thread did not run for longer than a hold lasted")
    yield from _report(off.end < off.start, "a stretch off the GIL ends before it begins")
    yield from _report((off.kind < 0) | (off.kind >= len(OffKind)), "OffGil.kind out of range")
    too_much = (off.cpu_ns < -1) | (off.cpu_ns > off.ns)
    yield from _report(too_much, "more CPU time than a stretch lasts")
