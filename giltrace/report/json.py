"""The report as one JSON object, for programs."""

from __future__ import annotations

import json
from typing import Any, Final

from giltrace.analysis.activity import Activity
from giltrace.analysis.blame import BlameRow
from giltrace.analysis.calls import CallRow
from giltrace.analysis.scheduling import ThreadScheduling
from giltrace.analysis.stacks import StackRow
from giltrace.analysis.summary import GilSummary, ThreadSummary
from giltrace.model import Place, Process, Trace
from giltrace.report import json_findings
from giltrace.report.text import unicode
from giltrace.wording.labels import Labels
from giltrace.wording.results import Results

_PLACES: Final = 3
# What nobody knows where hand-offs are inferred. Zero would be a claim.
_UNSEEN_OF_GIL: Final = dict.fromkeys(
    ("wait_ns", "contention", "waits", "forced", "voluntary", "drop_requests")
)
_UNSEEN_OF_THREAD: Final = dict.fromkeys(
    ("wait_ns", "waits", "wait_p50_ns", "wait_p99_ns", "wait_max_ns", "forced_out")
)


def render(trace: Trace, *, top: int | None = None, think_ns: int | None = None) -> str:
    """The object of `as_object` as ASCII text that ends with a line feed."""
    return json.dumps(as_object(trace, top=top, think_ns=think_ns), indent=2) + "\n"


def as_object(
    trace: Trace, *, top: int | None = None, think_ns: int | None = None
) -> dict[str, Any]:
    """The report as what `json.dumps` takes.

    All times are integer nanoseconds; ``utilisation`` and ``contention`` go from 0 to 1. What is
    ``inferred`` from function calls has null for what those do not show. In blame,
    ``waiter`` and ``holder`` are called as in the report for people, with their ids beside that.

    Args:
        trace: what to report.
        top: rows of ``blame``, ``blocking_calls`` and ``stacks`` at most; None for all.
        think_ns: how long the outside world takes to answer, if that is known.
    """
    results = Results(trace, think_ns=think_ns)
    summary, labels = results.summary, results.labels
    kernel = {one.thread: _scheduling(one) for one in results.scheduling}
    return {
        "capture": _capture(trace),
        "findings": json_findings.findings(results),
        "predictions": json_findings.predictions(results),
        "gils": [_gil(one, trace) for one in summary.gils],
        "threads": [
            _thread(one, activity, trace, labels) | {"scheduling": kernel.get(one.thread)}
            for one, activity in zip(summary.threads, results.activities, strict=True)
        ],
        "blocking_calls": [_call(row, trace, labels) for row in results.calls[:top]],
        "blame": [_blame(row, trace, labels) for row in results.blame[:top]],
        "stacks": [_stack(row, trace, labels) for row in results.stacks[:top]],
    }


def _capture(trace: Trace) -> dict[str, Any]:
    # The process that a reader means by "the" process: the first that was recorded.
    first = trace.processes[0] if trace.processes else None
    end = trace.end
    return {
        "giltrace": unicode(trace.session.giltrace),
        "argv": [unicode(word) for word in trace.session.argv],
        "host": unicode(trace.session.host),
        "platform": unicode(trace.session.platform),
        "started_unix_ns": trace.session.started_unix_ns,
        "python": unicode(first.python) if first else None,
        "implementation": unicode(first.implementation) if first else None,
        "backend": unicode(first.backend) if first else None,
        "gil_enabled": first.gil_enabled if first else None,
        "switch_interval_ns": first.switch_interval_ns if first else None,
        "start_ns": trace.start_ns,
        "end_ns": trace.end_ns,
        "lost_events": trace.lost_events,
        "sched": trace.recorded_scheduling,
        "lost_scheduling": trace.lost_scheduling,
        "complete": end is not None and not trace.loss.bytes_skipped,
        "exit_code": end.exit_code if end else None,
        "signal": end.signal if end else None,
        "notes": [unicode(note) for note in trace.notes],
        "processes": [_process(process) for process in trace.processes],
    }


def _process(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "ppid": process.ppid,
        "argv": [unicode(word) for word in process.argv],
        "executable": unicode(process.executable),
        "python": unicode(process.python),
        "implementation": unicode(process.implementation),
        "backend": unicode(process.backend),
        "inferred": process.inferred,
        "gil_enabled": process.gil_enabled,
        "start_ns": process.start_ns,
        "end_ns": process.end_ns,
        "lost_events": process.lost_events,
    }


def _gil(one: GilSummary, trace: Trace) -> dict[str, Any]:
    gil = trace.gils[one.gil]
    process = trace.processes[gil.process]
    unseen = _UNSEEN_OF_GIL if process.inferred else {}
    return {
        "pid": process.pid,
        "interpreter": gil.interpreter,
        "inferred": process.inferred,
        "switch_interval_ns": gil.switch_interval_ns,
        "wall_ns": one.wall_ns,
        "held_ns": one.held_ns,
        "wait_ns": one.wait_ns,
        "utilisation": one.utilisation,
        "contention": one.contention,
        "acquires": one.acquires,
        "releases": one.releases,
        "handoffs": one.handoffs,
        "waits": one.waits,
        "forced": one.forced,
        "voluntary": one.voluntary,
        "unknown": one.unknown,
        "drop_requests": one.drop_requests,
        **unseen,
    }


def _thread(one: ThreadSummary, activity: Activity, trace: Trace, labels: Labels) -> dict[str, Any]:
    thread = trace.threads[one.thread]
    process = trace.processes[thread.process]
    unseen = _UNSEEN_OF_THREAD if process.inferred else {}
    return {
        "pid": process.pid,
        "tid": thread.tid,
        "inferred": process.inferred,
        "name": unicode(thread.name),
        "label": labels.thread(one.thread),
        "start_ns": thread.start_ns,
        "end_ns": thread.end_ns,
        "acquires": one.acquires,
        "hold_ns": one.hold_ns,
        "wait_ns": one.wait_ns,
        "off_gil_ns": one.off_gil_ns,
        "blocked_ns": activity.blocked_ns,
        "sleep_ns": activity.sleep_ns,
        "lock_ns": activity.lock_ns,
        "native_ns": activity.native_ns,
        "switch_ns": activity.switch_ns,
        "unknown_ns": activity.unknown_ns,
        "not_running_ns": activity.not_running_ns,
        "waits": one.waits,
        "wait_p50_ns": one.wait_p50_ns,
        "wait_p99_ns": one.wait_p99_ns,
        "wait_max_ns": one.wait_max_ns,
        "forced_out": one.forced_out,
        **unseen,
    }


def _scheduling(one: ThreadScheduling) -> dict[str, int]:
    return {
        "on_cpu_ns": one.on_cpu_ns,
        "runnable_ns": one.runnable_ns,
        "sleeping_ns": one.sleeping_ns,
        "turns": one.turns,
        "held_runnable_ns": one.held_runnable_ns,
        "held_sleeping_ns": one.held_sleeping_ns,
        "gap_off_cpu_ns": one.gap_off_cpu_ns,
    }


def _call(row: CallRow, trace: Trace, labels: Labels) -> dict[str, Any]:
    thread = trace.threads[row.thread]
    return {
        "pid": trace.processes[thread.process].pid,
        "tid": thread.tid,
        "thread": labels.thread(row.thread),
        "call": unicode(row.call) or None,
        "named_by": row.source.value,
        "kind": row.kind.name.lower(),
        "count": row.count,
        "blocked_ns": row.off_ns,
        "cpu_ns": row.cpu_ns,
        "waits": row.waits,
        "wait_after_ns": row.wait_after_ns,
        "where": [labels.place(place) for place in row.places[:_PLACES]],
        "descriptors": [unicode(what) for what in row.descriptors],
        "woken_by": [
            {"thread": labels.thread(who), "tid": trace.threads[who].tid, "count": times}
            for who, times in row.woken_by
        ],
    }


def _blame(row: BlameRow, trace: Trace, labels: Labels) -> dict[str, Any]:
    waiter = trace.threads[row.waiter]
    holder = None if row.holder is None else trace.threads[row.holder]
    place: Place | None = trace.places[row.place] if row.place else None
    return {
        "pid": trace.processes[waiter.process].pid,
        "waiter": labels.thread(row.waiter),
        "waiter_tid": waiter.tid,
        "holder": None if row.holder is None else labels.thread(row.holder),
        "holder_tid": holder.tid if holder else None,
        "where": labels.place(row.place) or None,
        "filename": unicode(place.filename) if place else None,
        "line": place.line if place else None,
        "qualname": unicode(place.qualname) if place else None,
        "call": unicode(trace.calls[row.call].label) or None,
        "expression": (trace.expressions.of(place).text or None) if place else None,
        "wait_ns": row.wait_ns,
        "waits": row.waits,
    }


def _stack(row: StackRow, trace: Trace, labels: Labels) -> dict[str, Any]:
    thread = trace.threads[row.thread]
    return {
        "pid": trace.processes[thread.process].pid,
        "tid": thread.tid,
        "thread": labels.thread(row.thread),
        "frames": [labels.place(place) for place in (row.place, *trace.stacks[row.stack])],
        "holds": row.holds,
        "hold_ns": row.hold_ns,
        "blamed_ns": row.blamed_ns,
        "wait_after_ns": row.wait_after_ns,
    }
