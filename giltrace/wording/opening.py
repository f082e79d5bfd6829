"""The first sentences: what the reader has to know, what was recorded, who held the GIL."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from giltrace.analysis.summary import GilSummary
from giltrace.model import Process, Trace
from giltrace.model.dense import sums
from giltrace.model.text import printable
from giltrace.wording.human import count, duration, share
from giltrace.wording.results import Results

_NOTES: Final = 5
_NOTE_LIMIT: Final = 300


def notes(trace: Trace) -> list[str]:
    """What is wrong with the recording, or has to be known about it, in sentences."""
    said = []
    for note in trace.notes[:_NOTES]:
        text = printable(note.strip(), _NOTE_LIMIT)
        said.append(text if text.endswith((".", "!", "?")) else f"{text}.")
    more = len(trace.notes) - _NOTES
    if more > 0:
        said.append(f"There {'is' if more == 1 else 'are'} {count(more, 'more note')} like these.")
    return said


def scene(results: Results) -> list[str]:
    """What ran for how long, and who held the GIL; all there is to say if nobody did."""
    return list(_scene(results))


def _scene(results: Results) -> Iterator[str]:
    trace = results.trace
    yield _recorded(trace)
    foremost = max(results.summary.gils, key=lambda one: (one.wait_ns, one.held_ns), default=None)
    if foremost is None or not foremost.acquires:
        if any(process.gil_enabled for process in trace.processes):
            yield "Nobody was seen to take or release the GIL, so there is nothing to explain."
        else:
            yield "Whatever makes it slow, it is not the GIL."
        return
    yield _held(results, foremost)
    if trace.processes[trace.gils[foremost.gil].process].inferred:
        yield "Who waited for it, and for how long, does not show in function calls."


def _recorded(trace: Trace) -> str:
    program = _program(trace.session.argv)
    who = f"`{printable(program)}`" if program else "A program"
    python = python_of(trace.processes)
    where = f" on {printable(python)}" if python else ""
    crowd = count(len(trace.threads), "thread") if trace.threads else "no thread"
    if len(trace.processes) > 1:
        crowd += f" in {len(trace.processes):,} processes"
    wall_ns = trace.end_ns - trace.start_ns
    return f"{who} was recorded for {duration(wall_ns)}{where}, with {crowd}."


def _held(results: Results, one: GilSummary) -> str:
    trace, gil = results.trace, results.trace.gils[one.gil]
    which = "The GIL"
    if len(trace.gils) > 1:
        why = "waited for most" if one.wait_ns else "the busiest"
        which = f"Of {len(trace.gils):,} GILs, that of {results.labels.gil(one.gil)} was {why}. It"
    verb = "seems to have been" if trace.processes[gil.process].inferred else "was"
    here = trace.holds_of(one.gil)
    holder, ns = trace.holds.thread[here], trace.holds.end[here] - trace.holds.start[here]
    held_by = sums(holder, ns, len(trace.threads))
    thread = int(held_by.argmax())
    own = holder == thread
    by_place = sums(trace.line_of[trace.holds.place[here][own]], ns[own], len(trace.places))
    place, most = int(by_place.argmax()), int(held_by[thread])
    how = "mostly" if 2 * most >= one.held_ns else "longest"
    if np.count_nonzero(held_by) == 1:
        how = "all"
    at = at_place(results.labels.place(place), int(by_place[place]), most)
    return (
        f"{which} {verb} held {share(one.held_ns, gil.wall_ns)} of the time, {how} by "
        f"`{results.labels.thread(thread)}`: {duration(most)} "
        f"({share(most, gil.wall_ns)} of the time){at}."
    )


def at_place(place: str, part_ns: int, whole_ns: int) -> str:
    """Where, with as much confidence as one place deserves among several."""
    if not place:
        return ""
    if 10 * part_ns >= 9 * whole_ns:
        return f" at {place}"
    return f", mostly at {place}" if 2 * part_ns >= whole_ns else f", most often at {place}"


def _program(argv: Sequence[str]) -> str:
    """The command line; where the first word is installed tells nothing."""
    return shlex.join([argv[0].rpartition("/")[2], *argv[1:]]) if argv else ""


def python_of(processes: Sequence[Process]) -> str:
    """What ran, if all processes ran the same."""
    kinds = {(process.implementation, process.python) for process in processes if process.python}
    if len(kinds) != 1:
        return ""
    implementation, version = kinds.pop()
    name = "CPython" if implementation == "cpython" else implementation
    return f"{name} {version}"
