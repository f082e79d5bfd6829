"""Which tracks there are, in what order, and what they are called.

At the top one group for each GIL, with its holder, utilisation, waiters and drop requests; below
it Perfetto's own process groups, with one row of states for each thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, TrackDescriptor

from giltrace.export import labels
from giltrace.export.lanes import Lane, Lanes
from giltrace.export.remarks import Extras

if TYPE_CHECKING:
    from giltrace.model import Trace
    from giltrace.model.tables import Gil, Process, Thread

_HOLDER_RANK: Final = 1
_REMARK_RANKS: Final = {labels.FINDINGS_TRACK: 0, labels.LOST_TRACK: 9}
# Behind all threads, whose ranks are their indices.
_COUNTERS_RANK: Final = 1 << 20
_CLOCK_RANK, _FUNCTIONS_RANK = 1, 2


@dataclass(frozen=True, slots=True)
class GilTracks:
    """Ids of the tracks of one GIL."""

    group: int
    holder: int
    utilisation: int
    waiters: int
    drop_requests: int


class Layout:
    """The tracks of a trace.

    Attributes:
        gils: by GIL index.
        lanes: by lane index: the id of the track for its states.
        clocks: by lane index: the id of the counter of its thread's CPU time; 0 if none was read.
        functions: by thread index: the id of the track for its function spans, where it has some.
        remarks: by name of the track, GIL and row: see `giltrace.export.remarks.Remark`.
        counters: ids of the tracks of the sampled counters, in their order.
    """

    def __init__(self, trace: Trace, lanes: Lanes, said: Extras) -> None:
        self._trace = trace
        self._lanes = lanes
        self._said = said
        # Ids count from 1. They need to be unique in this file only, and short ones read well.
        self._last = 0
        self._root = 0  # Perfetto's name for the space that holds all top-level tracks
        # Processes and threads are known by their kernel ids, so each id has one track.
        self._processes = {process.pid: self._new() for process in trace.processes}
        self._threads = {index: self._new() for index in lanes.first_of_tid}
        self.gils = [GilTracks(*(self._new() for _ in range(5))) for _ in trace.gils]
        self.lanes = [
            self._threads[lane.thread.index] if lane.is_main else self._new() for lane in lanes.all
        ]
        # How long threads ran is known by their clocks, or by the kernel's word.
        read = np.union1d(trace.cpu.thread, trace.scheduling.thread).tolist()
        self._clocks = {index: self._new() for index in read}
        self.clocks = [self._clocks.get(lane.thread.index, 0) for lane in lanes.all]
        self.functions = {index: self._new() for index in np.unique(trace.spans.thread).tolist()}
        self.remarks: dict[tuple[str, int | None, int], int] = {}
        for remark in said.remarks:
            self.remarks.setdefault((remark.track, remark.gil, remark.row), self._new())
        self.counters = [self._new() for _ in said.counters]

    def _new(self) -> int:
        self._last += 1
        return self._last

    def descriptors(self) -> Iterator[TrackDescriptor]:
        """All tracks, parents before children."""
        trace = self._trace
        if "process_ordering" in TrackDescriptor.DESCRIPTOR.fields_by_name:  # Perfetto 57
            yield TrackDescriptor(
                uuid=self._root,
                process_ordering=TrackDescriptor.PROCESS_ORDERING_EXPLICIT,
                thread_ordering=TrackDescriptor.THREAD_ORDERING_EXPLICIT,
            )
        for gil, label in zip(trace.gils, self._gil_labels(), strict=True):
            yield from self._gil(gil, label)
        for process in {process.pid: process for process in trace.processes}.values():
            yield self._process(process)
        for index in self._threads:
            yield self._thread(trace.threads[index])
        for lane in self._lanes.all:
            if not lane.is_main:
                yield self._further_lane(lane)
        for index, uuid in self._clocks.items():
            yield self._clock(trace.threads[index], uuid)
        for index, uuid in self.functions.items():
            thread = trace.threads[index]
            yield TrackDescriptor(
                uuid=uuid,
                parent_uuid=self._parent(thread),
                name=labels.functions_label(thread),
                description="Calls of Python functions.",
                sibling_order_rank=_FUNCTIONS_RANK,
            )
        yield from self._remarks()
        yield from self._counters()

    def _gil_labels(self) -> list[str]:
        """A name of its own for each, because groups of one name would be merged."""
        seen: Counter[str] = Counter()
        found: list[str] = []
        for gil in self._trace.gils:
            label = labels.gil_label(gil, self._trace.processes[gil.process])
            seen[label] += 1
            found.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
        return found

    def _gil(self, gil: Gil, label: str) -> Iterator[TrackDescriptor]:
        tracks = self.gils[gil.index]
        inferred = self._trace.processes[gil.process].inferred
        yield TrackDescriptor(
            uuid=tracks.group,
            name=label,
            description="Who seems to hold this GIL, as inferred from function calls."
            if inferred
            else "Who holds this GIL, and who wants it.",
            child_ordering=TrackDescriptor.EXPLICIT,
            sibling_order_rank=gil.index,
        )
        children = (
            (tracks.holder, labels.HOLDER_TRACK, "The thread that holds the GIL.", ""),
            (tracks.utilisation, labels.UTILISATION_TRACK, "Time held / wall time.", "%"),
            (tracks.waiters, labels.WAITERS_TRACK, "Threads that wait for the GIL.", "threads"),
            (
                tracks.drop_requests,
                labels.DROP_REQUEST_TRACK,
                "A waiter's switch interval ran out: it asks the holder to let go.",
                "",
            ),
        )
        # An empty track of waiters would say that there were none.
        shown = children[: 2 if inferred else None]
        for rank, (uuid, name, description, unit) in enumerate(shown, _HOLDER_RANK):
            track = TrackDescriptor(
                uuid=uuid,
                parent_uuid=tracks.group,
                name=name,
                description=description,
                sibling_order_rank=rank,
            )
            if unit:
                track.counter.unit_name = unit
            yield track

    def _process(self, process: Process) -> TrackDescriptor:
        track = TrackDescriptor(uuid=self._processes[process.pid], sibling_order_rank=process.index)
        track.process.pid = labels.kernel_id(process.pid)
        track.process.process_name = labels.process_label(process)
        return track

    def _thread(self, thread: Thread) -> TrackDescriptor:
        track = TrackDescriptor(uuid=self._threads[thread.index], sibling_order_rank=thread.index)
        track.thread.pid = labels.kernel_id(self._trace.processes[thread.process].pid)
        track.thread.tid = labels.kernel_id(thread.tid)
        track.thread.thread_name = labels.thread_label(thread)
        return track

    def _further_lane(self, lane: Lane) -> TrackDescriptor:
        process = self._trace.processes[lane.thread.process]
        return TrackDescriptor(
            uuid=self.lanes[lane.index],
            parent_uuid=self._parent(lane.thread),
            name=f"{labels.thread_id_label(lane.thread)}: {labels.gil_label(lane.gil, process)}",
            sibling_order_rank=lane.index,
        )

    def _clock(self, thread: Thread, uuid: int) -> TrackDescriptor:
        # Readers know this counter by its name, and tell the CPU time of slices by it.
        track = TrackDescriptor(
            uuid=uuid,
            parent_uuid=self._parent(thread),
            name=labels.THREAD_CLOCK_TRACK,
            description="What the thread's CPU clock shows, from its first hold on.",
            sibling_order_rank=_CLOCK_RANK,
        )
        track.counter.type = CounterDescriptor.COUNTER_THREAD_TIME_NS
        return track

    def _remarks(self) -> Iterator[TrackDescriptor]:
        for (name, gil, _row), uuid in self.remarks.items():
            # Rows of one name are shown as one track.
            track = TrackDescriptor(uuid=uuid, name=name)
            if gil is not None:
                track.parent_uuid = self.gils[gil].group
                track.sibling_order_rank = _REMARK_RANKS[name]
            yield track

    def _counters(self) -> Iterator[TrackDescriptor]:
        for rank, (counter, uuid) in enumerate(
            zip(self._said.counters, self.counters, strict=True), _COUNTERS_RANK
        ):
            process = self._trace.processes[counter.process]
            track = TrackDescriptor(
                uuid=uuid,
                parent_uuid=self._processes[process.pid],
                name=counter.name,
                description="Sampled from outside.",
                sibling_order_rank=rank,
            )
            track.counter.unit_name = counter.unit
            yield track

    def _parent(self, thread: Thread) -> int:
        """The track of a thread, or that of its process if its id belongs to an earlier one."""
        pid = self._trace.processes[thread.process].pid
        return self._threads.get(thread.index, self._processes[pid])
