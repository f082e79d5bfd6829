"""Which tracks there are, in what order, and what they are called.

At the top one group for each GIL, with its holder, utilisation, waiters and drop requests; below
it Perfetto's own process groups, with one row of states for each thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackDescriptor

from giltrace.export import labels
from giltrace.export.lanes import Lane, Lanes

if TYPE_CHECKING:
    from giltrace.model import Trace
    from giltrace.model.tables import Gil, Process, Thread


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
        notes: id of the track for what the reader has to be told.
    """

    # Ids count from 1. They need to be unique within this file only, and short ones read well.
    notes: Final = 1

    def __init__(self, trace: Trace, lanes: Lanes) -> None:
        self._trace = trace
        self._lanes = lanes
        self._last = self.notes
        self._root = 0  # Perfetto's name for the space that holds all top-level tracks
        # Processes and threads are known by their kernel ids, so each id has one track.
        self._processes = {process.pid: self._new() for process in trace.processes}
        self._threads = {index: self._new() for index in lanes.first_of_tid}
        self.gils = [GilTracks(*(self._new() for _ in range(5))) for _ in trace.gils]
        self.lanes = [
            self._threads[lane.thread.index] if lane.is_main else self._new() for lane in lanes.all
        ]

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
        if trace.notes:
            yield TrackDescriptor(uuid=self.notes, name=labels.NOTES_TRACK)
        for gil, label in zip(trace.gils, self._gil_labels(), strict=True):
            yield from self._gil(gil, label)
        for process in {process.pid: process for process in trace.processes}.values():
            yield self._process(process)
        for index in self._threads:
            yield self._thread(trace.threads[index])
        for lane in self._lanes.all:
            if not lane.is_main:
                yield self._further_lane(lane)

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
        for rank, (uuid, name, description, unit) in enumerate(children[: 2 if inferred else None]):
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
            parent_uuid=self._threads.get(lane.thread.index, self._processes[process.pid]),
            name=f"{labels.thread_id_label(lane.thread)}: {labels.gil_label(lane.gil, process)}",
            sibling_order_rank=lane.index,
        )
