"""Reading a Perfetto file back with protobuf: what a viewer would understand, in a plain form."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

BEGIN, END = TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END
INSTANT, COUNTER = TrackEvent.TYPE_INSTANT, TrackEvent.TYPE_COUNTER
_LETTERS = {BEGIN: "B", END: "E", INSTANT: "I", COUNTER: "C"}
_MONOTONIC, _INCREMENTAL = 3, 64


@dataclass
class Event:
    """One track event with all references resolved."""

    ts: int
    kind: int
    track: int
    name: str = ""
    args: dict[str, int | str] = field(default_factory=dict)
    value: float | None = None
    clock: int | None = None
    flows: tuple[int, ...] = ()
    ending_flows: tuple[int, ...] = ()
    correlation: str = ""


@dataclass
class Slice:
    """A begin and the end that belongs to it."""

    track: int
    name: str
    start: int
    end: int
    args: dict[str, int | str]
    depth: int = 0
    cpu_ns: int | None = None


@dataclass
class PerfettoFile:
    """A whole file.

    Attributes:
        tracks: descriptors by id.
        events: in file order.
        attributes: facts about the trace.
        open_slices: begins without an end.
    """

    tracks: dict[int, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    attributes: dict[str, int | str] = field(default_factory=dict)
    open_slices: int = 0

    def slices(self) -> Iterator[Slice]:
        """All slices, matched as viewers do: an end belongs to the innermost open begin."""
        stacks: dict[int, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.kind == BEGIN:
                stacks[event.track].append(event)
            elif event.kind == END:
                begin = stacks[event.track].pop()
                args = begin.args | event.args
                depth = len(stacks[event.track])
                cpu_ns = None
                if begin.clock is not None and event.clock is not None:
                    cpu_ns = event.clock - begin.clock
                yield Slice(event.track, begin.name, begin.ts, event.ts, args, depth, cpu_ns)
        self.open_slices = sum(map(len, stacks.values()))

    def track_name(self, track: int) -> str:
        """What a track is called, with the names of its parents before it."""
        descriptor = self.tracks[track]
        if descriptor.HasField("thread"):
            thread = descriptor.thread
            return f"{thread.thread_name} [{thread.pid}/{thread.tid}]"
        if descriptor.HasField("process"):
            return f"{descriptor.process.process_name} [{descriptor.process.pid}]"
        if descriptor.parent_uuid:
            return f"{self.track_name(descriptor.parent_uuid)} > {descriptor.name}"
        return str(descriptor.name)

    def dump(self) -> str:
        """A readable text that shows everything that matters."""
        lines = [f"attribute {key}: {value}" for key, value in self.attributes.items()]
        for uuid, track in self.tracks.items():
            unit = f" unit={track.counter.unit_name}" if track.HasField("counter") else ""
            lines.append(f"track {self.track_name(uuid)} rank={track.sibling_order_rank}{unit}")
        for event in self.events:
            parts = [f"{event.ts:>12} {_LETTERS[event.kind]} {self.track_name(event.track)}"]
            parts += [f"| {event.name}"] if event.name else []
            parts += [f"= {event.value}"] if event.value is not None else []
            parts += [f"clock={event.clock}"] if event.clock is not None else []
            parts += [f"({event.correlation})"] if event.correlation else []
            parts += [f"{key}={value}" for key, value in event.args.items()]
            parts += ["flow starts"] * len(event.flows)
            parts += ["flow ends"] * len(event.ending_flows)
            lines.append(" ".join(parts))
        return "\n".join(lines) + "\n"


def packets(data: bytes) -> Iterator[TracePacket]:
    """All packets of a file, those in compressed blocks too."""
    for packet in Trace.FromString(data).packet:
        if packet.HasField("compressed_packets"):
            yield from packets(zlib.decompress(packet.compressed_packets))
        else:
            yield packet


def parse(data: bytes) -> PerfettoFile:
    """Read a file.

    Raises:
        KeyError: an event refers to a string that is not there.
        AssertionError: a packet lacks what viewers need.
    """
    found = PerfettoFile()
    strings: dict[tuple[str, int], str] = {}
    now = -1
    for packet in packets(data):
        if packet.HasField("clock_snapshot"):
            clocks = {clock.clock_id: clock for clock in packet.clock_snapshot.clocks}
            assert clocks[_INCREMENTAL].is_incremental
            assert packet.sequence_flags == TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
            now = clocks[_MONOTONIC].timestamp - clocks[_INCREMENTAL].timestamp
            events_sequence = packet.trusted_packet_sequence_id
        for attribute in packet.trace_attributes.attribute:
            value = attribute.string_value or attribute.long_value
            found.attributes[attribute.key] = value
        if packet.HasField("track_descriptor"):
            found.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
        if packet.HasField("interned_data"):
            _intern(strings, packet.interned_data)
        if not packet.HasField("track_event"):
            continue
        if packet.trusted_packet_sequence_id != events_sequence:
            # Of the sequence for what there is little of: in plain words, at a plain time.
            assert packet.timestamp_clock_id == _MONOTONIC
            found.events.append(_event(packet.track_event, packet.timestamp, {}))
            continue
        assert packet.sequence_flags == TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        now += packet.timestamp
        found.events.append(_event(packet.track_event, now, strings))
    return found


def _intern(strings: dict[tuple[str, int], str], data: Any) -> None:
    for kind in ("event_categories", "event_names", "debug_annotation_names"):
        for entry in getattr(data, kind):
            strings[kind, entry.iid] = entry.name
    for kind in ("debug_annotation_string_values", "correlation_id_str"):
        for entry in getattr(data, kind):
            strings[kind, entry.iid] = entry.str.decode()


def _event(event: Any, ts: int, strings: dict[tuple[str, int], str]) -> Event:
    made = Event(ts, event.type, event.track_uuid, event.name)
    if event.name_iid:
        made.name = strings["event_names", event.name_iid]
    for iid in event.category_iids:
        assert strings["event_categories", iid]
    for arg in event.debug_annotations:
        name = arg.name or strings["debug_annotation_names", arg.name_iid]
        if arg.HasField("uint_value") or arg.HasField("int_value"):
            made.args[name] = arg.uint_value or arg.int_value
        elif arg.HasField("string_value"):
            made.args[name] = arg.string_value
        else:
            made.args[name] = strings["debug_annotation_string_values", arg.string_value_iid]
    if event.HasField("counter_value") or event.HasField("double_counter_value"):
        made.value = event.counter_value or event.double_counter_value
    assert len(event.extra_counter_values) == len(event.extra_counter_track_uuids)
    if event.extra_counter_values:
        [made.clock] = event.extra_counter_values
    if event.HasField("correlation_id_str_iid"):
        made.correlation = strings["correlation_id_str", event.correlation_id_str_iid]
    made.flows = tuple(event.flow_ids)
    made.ending_flows = tuple(event.terminating_flow_ids)
    return made
