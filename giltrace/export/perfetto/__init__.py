"""Perfetto's own format: the trace as the Perfetto UI and PerfettoSQL want it.

The parts: `layout` says which tracks there are, `strings` numbers the texts, `packets` puts points
into bytes (with `wire`), `scheduling` what the kernel did with threads, `stream` compresses it all.
Tracks and strings are written through the protos of the perfetto package; events, of which there
are millions, are put together by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_MONOTONIC,
    BUILTIN_CLOCK_REALTIME,
    TracePacket,
    TrackEvent,
)
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as Packed

from giltrace._version import __version__
from giltrace.export import labels
from giltrace.export.lanes import Lanes
from giltrace.export.perfetto.layout import Layout
from giltrace.export.perfetto.packets import SEQUENCE, Packets
from giltrace.export.perfetto.scheduling import scheduling
from giltrace.export.perfetto.stream import PacketStream
from giltrace.export.perfetto.strings import Strings
from giltrace.export.points import functions, turns, utilisation, walk
from giltrace.export.remarks import Extras, extras

if TYPE_CHECKING:
    from giltrace.model import Trace

_LEVEL: Final = 7
"""A little smaller than with zlib's usual 6, in the same time. From 8 on it is the compressing that
everything waits for: twice the time, for a file that is smaller by a twentieth."""
_INCREMENTAL_CLOCK: Final = 64  # ids from here to 127 belong to one sequence
_STATE_CLEARED: Final = 1
_NEEDS_STATE: Final = 2
_HIGHEST: Final = (1 << 63) - 1


class PerfettoExporter:
    """Exports for https://ui.perfetto.dev and for PerfettoSQL; ``ts`` is CLOCK_MONOTONIC."""

    name: Final = "perfetto"
    suffix: Final = ".pftrace"

    def __init__(self, *, level: int = _LEVEL) -> None:
        """Compress with zlib's ``level``, 1 to 9; 0 for packets as they are."""
        self._level = level

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        lanes = Lanes(trace)
        said = extras(trace)
        layout = Layout(trace, lanes, said)
        strings = Strings(trace)
        packets = Packets(trace, lanes, layout, strings)
        with PacketStream(out, level=self._level) as stream:
            for packet in _preamble(trace, layout, strings, said):
                stream.write(Packed(packet=[packet]).SerializeToString())
            for some in scheduling(trace, lanes, SEQUENCE + 2):
                stream.write(some)
            for batch in walk([*turns(trace), *utilisation(trace), *functions(trace)]):
                stream.write(packets.encode(batch))


def _preamble(
    trace: Trace, layout: Layout, strings: Strings, said: Extras
) -> Iterator[TracePacket]:
    """Everything of which there is little, and which the points refer to."""
    yield _clocks(trace)
    yield _attributes(trace)
    for descriptor in layout.descriptors():
        packet = _aside(trace.start_ns)
        packet.track_descriptor.CopyFrom(descriptor)
        yield packet
    for data in strings.packets():
        packet = TracePacket(
            trusted_packet_sequence_id=SEQUENCE, sequence_flags=_NEEDS_STATE, timestamp=0
        )
        packet.interned_data.CopyFrom(data)
        yield packet
    yield from _remarks(layout, said)
    yield from _counters(layout, said)


def _remarks(layout: Layout, said: Extras) -> Iterator[TracePacket]:
    for remark in said.remarks:
        packet = _aside(remark.start_ns)
        event = packet.track_event
        event.track_uuid = layout.remarks[remark.track, remark.gil, remark.row]
        event.name = remark.name
        event.categories.append("giltrace")
        for name, value in remark.args.items():
            annotation = event.debug_annotations.add(name=name)
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = value
        if remark.end_ns is None:
            event.type = TrackEvent.TYPE_INSTANT
            yield packet
            continue
        event.type = TrackEvent.TYPE_SLICE_BEGIN
        yield packet
        end = _aside(remark.end_ns)
        end.track_event.track_uuid = event.track_uuid
        end.track_event.type = TrackEvent.TYPE_SLICE_END
        yield end


def _counters(layout: Layout, said: Extras) -> Iterator[TracePacket]:
    for counter, track in zip(said.counters, layout.counters, strict=True):
        for ts_ns, value in counter.points:
            packet = _aside(ts_ns)
            packet.track_event.type = TrackEvent.TYPE_COUNTER
            packet.track_event.track_uuid = track
            packet.track_event.double_counter_value = value
            yield packet


def _aside(ts_ns: int) -> TracePacket:
    """A packet of a sequence of its own.

    On the sequence of the events, readers would take these for the last named thread's.
    """
    return TracePacket(
        trusted_packet_sequence_id=SEQUENCE + 1,
        timestamp_clock_id=BUILTIN_CLOCK_MONOTONIC,
        timestamp=ts_ns,
    )


def _clocks(trace: Trace) -> TracePacket:
    """The first packet. Without the flag and the snapshot, readers drop all events silently."""
    packet = TracePacket(
        trusted_packet_sequence_id=SEQUENCE,
        sequence_flags=_STATE_CLEARED,
        first_packet_on_sequence=True,
    )
    packet.trace_packet_defaults.timestamp_clock_id = _INCREMENTAL_CLOCK
    session = trace.session
    unix_ns = session.started_unix_ns + trace.start_ns - session.started_ns
    snapshot = packet.clock_snapshot
    snapshot.primary_trace_clock = BUILTIN_CLOCK_MONOTONIC
    snapshot.clocks.add(clock_id=_INCREMENTAL_CLOCK, timestamp=0, is_incremental=True)
    snapshot.clocks.add(clock_id=BUILTIN_CLOCK_MONOTONIC, timestamp=trace.start_ns)
    if 0 < unix_ns < _HIGHEST:
        snapshot.clocks.add(clock_id=BUILTIN_CLOCK_REALTIME, timestamp=unix_ns)
    return packet


def _attributes(trace: Trace) -> TracePacket:
    """Facts about the recording; readers before Perfetto 55 ignore them."""
    packet = TracePacket()
    texts = {
        "version": __version__,
        "recorded_by": trace.session.giltrace,
        "python": ", ".join(sorted({process.python for process in trace.processes})),
        "backend": ", ".join(sorted({process.backend for process in trace.processes})),
        "command": " ".join(trace.session.argv),
        "platform": trace.session.platform,
    }
    numbers = {
        "lost_events": trace.lost_events,
        "switch_interval_ns": max((gil.switch_interval_ns for gil in trace.gils), default=0),
        "processes": len(trace.processes),
    }
    for key, text in texts.items():
        packet.trace_attributes.attribute.add(
            key=f"dev.giltrace.{key}", string_value=labels.note_label(text)
        )
    for key, number in numbers.items():
        packet.trace_attributes.attribute.add(
            key=f"dev.giltrace.{key}", long_value=min(number, _HIGHEST)
        )
    return packet
