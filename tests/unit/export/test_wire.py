"""The hand-written protobuf encoding against protobuf itself."""

from __future__ import annotations

import numpy as np
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    DebugAnnotation,
    Trace,
    TracePacket,
    TrackEvent,
)

from giltrace.export.perfetto import wire

EDGES = [0, 1, 127, 128, 16_383, 16_384, (1 << 35) - 1, 1 << 35, (1 << 62) - 1]


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        (Trace, "packet", wire.TRACE_PACKET),
        (TracePacket, "timestamp", wire.TIMESTAMP),
        (TracePacket, "trusted_packet_sequence_id", wire.SEQUENCE_ID),
        (TracePacket, "track_event", wire.TRACK_EVENT),
        (TracePacket, "sequence_flags", wire.SEQUENCE_FLAGS),
        (TracePacket, "compressed_packets", wire.COMPRESSED_PACKETS),
        (TrackEvent, "category_iids", wire.EVENT_CATEGORY),
        (TrackEvent, "debug_annotations", wire.EVENT_ANNOTATION),
        (TrackEvent, "type", wire.EVENT_TYPE),
        (TrackEvent, "name_iid", wire.EVENT_NAME),
        (TrackEvent, "track_uuid", wire.EVENT_TRACK),
        (TrackEvent, "counter_value", wire.EVENT_COUNTER_VALUE),
        (TrackEvent, "flow_ids", wire.EVENT_FLOW),
        (TrackEvent, "terminating_flow_ids", wire.EVENT_FLOW_END),
        (TrackEvent, "correlation_id_str_iid", wire.EVENT_CORRELATION),
        (DebugAnnotation, "name_iid", wire.ANNOTATION_NAME),
        (DebugAnnotation, "uint_value", wire.ANNOTATION_UINT),
        (DebugAnnotation, "string_value_iid", wire.ANNOTATION_STRING),
    ],
)
def test_field_numbers(message: type, field: str, number: int) -> None:
    """Each field number is the one in Perfetto's protos."""
    assert message.DESCRIPTOR.fields_by_name[field].number == number  # type: ignore[attr-defined]


def test_event_types() -> None:
    """The kinds of track events are the ones in Perfetto's protos."""
    expected = (
        TrackEvent.TYPE_SLICE_BEGIN,
        TrackEvent.TYPE_SLICE_END,
        TrackEvent.TYPE_INSTANT,
        TrackEvent.TYPE_COUNTER,
    )
    assert expected == (wire.BEGIN, wire.END, wire.INSTANT, wire.COUNTER)


@pytest.mark.parametrize("value", EDGES)
def test_numbers_as_protobuf_writes_them(value: int) -> None:
    """Varints and fixed numbers have protobuf's own bytes."""
    expected = TrackEvent(track_uuid=value, flow_ids=[value]).SerializeToString()
    assert expected == wire.number(wire.EVENT_TRACK, value) + wire.fixed64(wire.EVENT_FLOW, value)


def test_long_content_has_a_long_header() -> None:
    """The length of a field of bytes may take several bytes itself."""
    content = b"x" * 300
    expected = TracePacket(compressed_packets=content).SerializeToString()
    assert expected == wire.blob(wire.COMPRESSED_PACKETS, content)


def test_padded_numbers_mean_the_same() -> None:
    """Numbers stretched to one width keep their value, trailing zero bytes included."""
    width = wire.padded_width(EDGES[-1])
    encoded = wire.padded_varints(np.array(EDGES), width)
    assert [len(item) for item in encoded] == [width] * len(EDGES)
    read = [
        TrackEvent.FromString(wire.open_number(wire.EVENT_TRACK) + item).track_uuid
        for item in encoded
    ]
    assert read == EDGES


def test_width_is_no_larger_than_needed() -> None:
    """Seven bits go into each byte."""
    assert [wire.padded_width(n) for n in (0, 127, 128, (1 << 35) - 1)] == [1, 1, 2, 5]
