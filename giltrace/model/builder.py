"""From a capture to a trace."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from giltrace.capture.reader import Capture, Events, read
from giltrace.model.assembly import Extras, Part, Texts, assemble, join
from giltrace.model.attached import Behind, fd_of_events
from giltrace.model.calls import CallTable, call_names
from giltrace.model.causes import undecided
from giltrace.model.cpu import cpu_readings
from giltrace.model.descriptors import Descriptors
from giltrace.model.drafts import Window
from giltrace.model.entities import (
    Records,
    gil_start,
    make_gil,
    make_process,
    make_thread,
    process_window,
    records_by_process,
)
from giltrace.model.lanes import Lanes, read_lanes
from giltrace.model.mending import MAX_NS, Mended
from giltrace.model.notes import capture_notes, process_notes
from giltrace.model.places import PlaceTable, code_table
from giltrace.model.priorities import priorities
from giltrace.model.scheduling import scheduling
from giltrace.model.source import LaneIds, Source, read_source
from giltrace.model.spans import function_spans
from giltrace.model.stacks import StackTable, stack_of_events
from giltrace.model.tables import I4, I8, Gil, Process, Thread
from giltrace.model.trace import Trace

_NO_EVENTS = Events(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.uint32))


def load(path: str | os.PathLike[str]) -> Trace:
    """Read a capture file and make a trace of it.

    Raises:
        CaptureError: see `giltrace.capture.reader.read`.
    """
    # Nobody else has the capture, so its events can go while the trace grows.
    trace = _build(read(path))
    _give_back()
    return trace


def _give_back() -> None:
    """Return memory that is free to the system.

    glibc keeps what it got for arrays that are gone, which after a large capture is more than the
    trace takes; and it finds little use for it, because the next ones have other sizes.
    """
    if sys.platform == "linux":
        # Other C libraries have no such function, nor the need for it.
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


def build(capture: Capture) -> Trace:
    """Make a trace of a capture.

    Never raises, whatever the capture holds: what does not fit together is mended so that the
    invariants hold (see `giltrace.model.invariants`), and ``notes`` says so.
    """
    return _build(replace(capture, events=dict(capture.events)))


def _build(capture: Capture) -> Trace:
    """`build`, which takes the events out of the capture."""
    records = records_by_process(capture)
    builder = _Builder(capture)
    for number, known in records.items():
        builder.add(number, known)
    part = join(builder.parts)
    index = {number: index for index, number in enumerate(records)}
    started = capture.session.started_ns
    scheduled, lost = scheduling(capture.scheduling, builder.threads, builder.processes)
    return Trace(
        session=capture.session,
        processes=tuple(builder.processes),
        gils=tuple(builder.gils),
        threads=tuple(builder.threads),
        places=builder.places.places(),
        stacks=builder.stacks.stacks(),
        calls=builder.calls.calls(),
        holds=part.holds,
        waits=part.waits,
        drop_requests=part.drop_requests,
        breaks=part.breaks,
        cpu=part.cpu,
        spans=part.spans,
        priorities=part.priorities,
        scheduling=scheduled,
        descriptors=Descriptors(capture.descriptors, index),
        sources=tuple(capture.sources),
        samples=tuple(
            replace(sample, process=index[sample.process])
            for sample in capture.samples
            if sample.process in index and 0 <= sample.ts_ns < MAX_NS
        ),
        start_ns=min((process.start_ns for process in builder.processes), default=started),
        end_ns=max((process.end_ns for process in builder.processes), default=started),
        lost_events=sum(process.lost_events for process in builder.processes),
        lost_scheduling=lost,
        notes=(*capture_notes(capture, builder.processes, lost), *builder.notes),
        end=capture.end,
        loss=capture.loss,
    )


class _Builder:
    """Takes one process after the other."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self.places = PlaceTable()
        self.stacks = StackTable()
        self.calls = CallTable()
        self.processes: list[Process] = []
        self.gils: list[Gil] = []
        self.threads: list[Thread] = []
        self.parts: list[Part] = []
        self.notes: list[str] = []

    def add(self, number: int, records: Records) -> None:
        """One more process: the number the capture knows it by, and its records."""
        mended = Mended()
        codes = code_table(self._capture.codes, number)
        src = read_source(self._capture.events.pop(number, _NO_EVENTS), mended)
        extras = Extras(
            cpu_readings(src, mended),
            function_spans(src, codes, self.places, mended),
            priorities(src, mended),
        )
        behind = Behind(stack_of_events(src, codes, self.places, self.stacks), fd_of_events(src))
        lanes = read_lanes(src, behind, mended)
        del behind
        lane, first, last = _lane_times(lanes)
        asked, read = lanes.request_ts, extras.cpu.ts
        span = process_window(
            records,
            _low(first, asked, read, extras.spans.start),
            _high(last, asked, read, extras.spans.end),
        )
        process = make_process(len(self.processes), records, span, mended.lost_events)
        gils = self._add_gils(process, records, src, lanes.gil_of(lane), first)
        known = sorted({*records.threads, *records.names, *src.threads.tolist()})
        index = {thread: len(self.threads) + i for i, thread in enumerate(known)}
        part = assemble(
            lanes,
            extras,
            Window(np.array([gils[n].start_ns for n in src.gils.tolist()], np.int64), span[1]),
            (
                _numbers(index, src.threads),
                _numbers({n: g.index for n, g in gils.items()}, src.gils),
            ),
            Texts(
                codes,
                self.places,
                self.calls.numbers(call_names(self._capture.calls, number)),
            ),
            mended=mended,
        )
        if process.inferred:
            part = replace(part, holds=replace(part.holds, cause=undecided(part.holds.cause)))
        spans = _spans(part, len(self.threads), len(known))
        self.threads += [
            make_thread(index[thread], process, thread, records, spans[i])
            for i, thread in enumerate(known)
        ]
        self.processes.append(process)
        self.parts.append(part)
        self.notes += process_notes(process, mended, any_events=len(lanes) > 0)

    def _add_gils(
        self, process: Process, records: Records, src: Source, gil: I4, first: I8
    ) -> dict[int, Gil]:
        """The GILs of a process by number. ``first`` is when each lane, on ``gil``, began."""
        seen = src.gils.tolist()
        window = (process.start_ns, process.end_ns)
        gils: dict[int, Gil] = {}
        for number in sorted({*records.gils, *seen}):
            earliest = _low(first[gil == seen.index(number)]) if number in seen else None
            start = gil_start(number, records, window, earliest)
            gils[number] = make_gil(len(self.gils) + len(gils), process, number, records, start)
        self.gils += gils.values()
        return gils


def _lane_times(lanes: Lanes) -> tuple[LaneIds, I8, I8]:
    """Each lane with events, and the times of its first and last one."""
    changes = np.flatnonzero(lanes.lane[1:] != lanes.lane[:-1])
    ends = np.ones(min(1, len(lanes)), np.int64)
    first = np.concatenate((ends - 1, changes + 1)).astype(np.int32)
    last = np.concatenate((changes, ends * len(lanes) - 1)).astype(np.int32)
    return lanes.lane[first], lanes.ts[first], lanes.ts[last]


def _low(*times: I8) -> int | None:
    return min((int(some.min()) for some in times if len(some)), default=None)


def _high(*times: I8) -> int | None:
    return max((int(some.max()) for some in times if len(some)), default=None)


def _numbers(index: Mapping[int, int], among: I8) -> I4:
    """int32: the index of each of some numbers."""
    return np.array([index[number] for number in among.tolist()], np.int32)


def _spans(part: Part, first: int, count: int) -> list[tuple[int, int] | None]:
    """For each of ``count`` threads from index ``first`` on: its first start and last end."""
    since, until = np.full(count, MAX_NS, np.int64), np.full(count, -1, np.int64)
    for rows in (part.holds, part.waits, part.spans):
        thread = rows.thread - first if first else rows.thread
        np.minimum.at(since, thread, rows.start)
        np.maximum.at(until, thread, rows.end)
    return [(a, b) if b >= 0 else None for a, b in zip(since.tolist(), until.tolist(), strict=True)]
