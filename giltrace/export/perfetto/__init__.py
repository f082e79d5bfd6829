"""Perfetto's own format: the trace as the Perfetto UI and PerfettoSQL want it.

The parts: `layout` says which tracks there are, `strings` numbers the texts, `packets` puts points
into bytes (with `wire`), `stream` compresses them. Tracks and strings are written through the
protos of the perfetto package; events, of which there are millions, are put together by hand.
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
from giltrace.export.perfetto.stream import PacketStream
from giltrace.export.perfetto.strings import Strings
from giltrace.export.points import turns, utilisation, walk

if TYPE_CHECKING:
    from giltrace.model import Trace

_INCREMENTAL_CLOCK: Final = 64  # ids from here to 127 belong to one sequence
_STATE_CLEARED: Final = 1
_NEEDS_STATE: Final = 2
_HIGHEST: Final = (1 << 63) - 1


class PerfettoExporter:
    """Exports for https://ui.perfetto.dev and for PerfettoSQL; ``ts`` is CLOCK_MONOTONIC."""

    name: Final = "perfetto"
    suffix: Final = ".pftrace"

    def __init__(self, *, level: int = 6) -> None:
        """Compress with zlib's ``level``, 1 to 9; 0 for packets as they are."""
        self._level = level

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """See `giltrace.export.base.Exporter`."""
        lanes = Lanes(trace)
        layout = Layout(trace, lanes)
        strings = Strings(trace)
        packets = Packets(trace, lanes, layout, strings, trace.start_ns)
        with PacketStream(out, level=self._level) as stream:
            for packet in _preamble(trace, layout, strings):
                stream.write(Packed(packet=[packet]).SerializeToString())
            for batch in walk([*turns(trace), *utilisation(trace)]):
                stream.write(packets.encode(batch))


def _preamble(trace: Trace, layout: Layout, strings: Strings) -> Iterator[TracePacket]:
    """Everything that has to come before the first event."""
    yield _clocks(trace)
    yield _attributes(trace)
    for descriptor in layout.descriptors():
        # Of a sequence of its own, or readers take the events to be the last named thread's.
        packet = TracePacket(
            trusted_packet_sequence_id=SEQUENCE + 1,
            timestamp_clock_id=BUILTIN_CLOCK_MONOTONIC,
            timestamp=trace.start_ns,
        )
        packet.track_descriptor.CopyFrom(descriptor)
        yield packet
    for data in strings.packets():
        packet = _packet()
        packet.interned_data.CopyFrom(data)
        yield packet
    for note in trace.notes:
        packet = _packet()
        packet.track_event.type = TrackEvent.TYPE_INSTANT
        packet.track_event.track_uuid = layout.notes
        packet.track_event.name = labels.note_label(note)
        yield packet


def _packet() -> TracePacket:
    """A packet at the very beginning of the trace."""
    return TracePacket(
        trusted_packet_sequence_id=SEQUENCE, sequence_flags=_NEEDS_STATE, timestamp=0
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
    }
    for key, text in texts.items():
        packet.trace_attributes.attribute.add(
            key=f"dev.giltrace.{key}", string_value=labels.note_label(text)
        )
    packet.trace_attributes.attribute.add(
        key="dev.giltrace.lost_events", long_value=min(trace.lost_events, _HIGHEST)
    )
    return packet
