"""What is written above the timeline of a trace."""

from __future__ import annotations

from giltrace.model import Trace
from giltrace.wording.human import count, duration
from giltrace.wording.opening import python_of


def facts(trace: Trace) -> list[str]:
    """Interpreter, length and size of a recording, the most important first."""
    found = [duration(trace.end_ns - trace.start_ns), count(len(trace.threads), "thread")]
    if len(trace.processes) > 1:
        found.append(f"{len(trace.processes):,} processes")
    if len(trace.gils) > 1:
        found.append(f"{len(trace.gils):,} GILs")
    if python := python_of(trace.processes):
        found.append(python)
    return found


def warnings(trace: Trace) -> list[str]:
    """What makes a timeline incomplete, in a few words each."""
    found = []
    if trace.lost_events:
        found.append(f"{count(trace.lost_events, 'event')} lost")
    if any(process.inferred for process in trace.processes):
        found.append("hand-offs inferred, waits not seen")
    if not len(trace.holds):
        found.append("nobody was seen to take the GIL")
    if trace.end is None:
        found.append("the end is missing")
    return found
