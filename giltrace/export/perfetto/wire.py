"""The protobuf wire format, as much of it as event packets need.

Field numbers are those of Perfetto's ``TracePacket``, ``TrackEvent`` and ``DebugAnnotation``;
a test compares them with the protos of the perfetto package.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from giltrace.model.tables import I8

TRACE_PACKET: Final = 1
TIMESTAMP: Final = 8
SEQUENCE_ID: Final = 10
TRACK_EVENT: Final = 11
SEQUENCE_FLAGS: Final = 13
COMPRESSED_PACKETS: Final = 50

EVENT_CATEGORY: Final = 3
EVENT_ANNOTATION: Final = 4
EVENT_TYPE: Final = 9
EVENT_NAME: Final = 10
EVENT_TRACK: Final = 11
EVENT_EXTRA_VALUES: Final = 12
EVENT_COUNTER_VALUE: Final = 30
EVENT_EXTRA_TRACKS: Final = 31
EVENT_FLOW: Final = 47
EVENT_FLOW_END: Final = 48
EVENT_CORRELATION: Final = 54

ANNOTATION_NAME: Final = 1
ANNOTATION_UINT: Final = 3
ANNOTATION_STRING: Final = 17

BEGIN: Final = 1
END: Final = 2
INSTANT: Final = 3
COUNTER: Final = 4

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def varint(value: int) -> bytes:
    """``value``, which is not negative, in as few bytes as possible."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(field << 3 | _VARINT) + varint(value)


def fixed64(field: int, value: int) -> bytes:
    """A field that holds a number of always eight bytes."""
    return varint(field << 3 | _FIXED64) + value.to_bytes(8, "little")


def header(field: int, length: int) -> bytes:
    """The beginning of a field of ``length`` bytes: text or a message."""
    return varint(field << 3 | _BYTES) + varint(length)


def blob(field: int, content: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    return header(field, len(content)) + content


def open_number(field: int) -> bytes:
    """The beginning of a number field, to be followed by one of `padded_varints`."""
    return varint(field << 3 | _VARINT)


def padded_width(largest: int) -> int:
    """How many bytes `padded_varints` needs for numbers up to ``largest``."""
    return len(varint(largest))


def padded_varints(values: I8, width: int) -> npt.NDArray[np.object_]:
    """Every value as a varint of exactly ``width`` bytes.

    The format allows more bytes than needed, as in ``81 80 00`` for 1. Because the length is the
    same for all, so are the lengths of the messages around them, and those are constants.
    """
    shifts = np.arange(0, 7 * width, 7, dtype=np.int64)
    digits = (values[:, None] >> shifts & 0x7F).astype(np.uint8)
    digits[:, :-1] |= 0x80
    # Void items become bytes objects; "S" items would lose trailing zeros.
    return digits.view(f"V{width}").ravel().astype(np.object_)
