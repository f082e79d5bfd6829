"""The layout of a capture file: file header, frame header, codecs. See docs/reference.

Everything here is plain ``struct`` and ``zlib``: the recorder, which imports it, stays small.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from giltrace.capture.events import EVENT_SIZE
from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    Descriptor,
    End,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    Record,
    Sample,
    SessionInfo,
    SourceText,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)
from giltrace.errors import GiltraceError

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC: Final = b"\x89GILTRC\n"
VERSION: Final = 1
MINOR: Final = 3
FILE_HEADER: Final = struct.Struct("<8sHHI")

SYNC: Final = b"TG"
FRAME_HEADER: Final = struct.Struct("<2sBBIIII")
CHECKED_SIZE: Final = 16
"""The bytes of a frame header that its own checksum covers."""

MAX_EVENTS_PAYLOAD: Final = 32 << 20
MAX_RECORD_PAYLOAD: Final = 16 << 20
"""Upper bounds of ``raw_len``, for EVENTS and for the rest; more is damage."""

EVENTS_HEAD: Final = struct.Struct("<II")
"""The start of an EVENTS payload: process, number of runs."""
RUN: Final = struct.Struct("<II")
"""One run of an EVENTS payload: thread, number of events."""


class FrameType(IntEnum):
    """What a frame holds. Readers skip the types they do not know."""

    SESSION = 1
    PROCESS = 2
    THREAD = 3
    THREAD_NAME = 4
    GIL = 5
    CODE = 6
    EVENTS = 7
    SAMPLE = 8
    PROCESS_END = 9
    END = 10
    SWITCH_INTERVAL = 11
    CALL = 12
    SOURCE = 13
    DESCRIPTOR = 14
    SCHEDULING = 15


RECORD_TYPES: Final[dict[int, type[Record]]] = {
    FrameType.SESSION: SessionInfo,
    FrameType.PROCESS: ProcessInfo,
    FrameType.THREAD: ThreadInfo,
    FrameType.THREAD_NAME: ThreadName,
    FrameType.GIL: GilInfo,
    FrameType.CODE: CodeInfo,
    FrameType.SAMPLE: Sample,
    FrameType.PROCESS_END: ProcessEnd,
    FrameType.END: End,
    FrameType.SWITCH_INTERVAL: SwitchInterval,
    FrameType.CALL: CallInfo,
    FrameType.SOURCE: SourceText,
    FrameType.DESCRIPTOR: Descriptor,
}
"""The record in a frame of each type but EVENTS and SCHEDULING."""

_COMPRESSED: Final = (FrameType.EVENTS, FrameType.SCHEDULING)


class Codec(IntEnum):
    """How a payload is stored. Only EVENTS and SCHEDULING payloads are ever compressed."""

    RAW = 0
    ZLIB = 1
    PLANES = 2
    """zlib over byte planes: all bytes at offsets 0, 16, 32, …, then at 1, 17, 33, …, and so on."""


class CaptureError(GiltraceError):
    """A file that can not be read as a capture at all."""


class FrameHeader(NamedTuple):
    """The header of a frame, checked. ``type`` and ``codec`` may be ones we do not know."""

    type: int
    codec: int
    stored_len: int
    raw_len: int
    payload_crc: int


def file_header() -> bytes:
    """The first 16 bytes of a capture file."""
    return FILE_HEADER.pack(MAGIC, VERSION, MINOR, 0)


def parse_file_header(raw: bytes) -> tuple[int, int]:
    """The format version, major and minor, from the first 16 bytes of a file.

    Raises:
        CaptureError: not a capture, cut off within these bytes, or of a version we can not read.
    """
    if not raw:
        raise CaptureError("the file is empty", "Was the recording stopped before it began?")
    if raw[: len(MAGIC)] != MAGIC[: len(raw)]:
        raise CaptureError(
            "the file is not a giltrace capture", "Record one with `giltrace record`."
        )
    if len(raw) < FILE_HEADER.size:
        raise no_whole_frame()
    _, version, minor, _ = FILE_HEADER.unpack(raw)
    if version > VERSION:
        raise CaptureError(
            f"the capture has format version {version}; this giltrace reads version {VERSION}",
            "Upgrade giltrace.",
        )
    if version < VERSION:
        raise CaptureError(f"the capture has format version {version}, which never existed")
    return version, minor


def no_whole_frame() -> CaptureError:
    """The error for a file that begins like a capture, but in which no frame is whole."""
    return CaptureError(
        "the capture is cut off or damaged before the end of its first record",
        "If it is being recorded right now, try again in a moment.",
    )


def pack_frame(frame_type: int, codec: int, stored: Buffer, raw_len: int) -> bytes:
    """One whole frame around a payload that is already stored by ``codec``."""
    checked = FRAME_HEADER.pack(
        SYNC, frame_type, codec, len(stored), raw_len, zlib.crc32(stored), 0
    )[:CHECKED_SIZE]
    return b"".join((checked, zlib.crc32(checked).to_bytes(4, "little"), stored))


def parse_frame_header(buffer: Buffer, offset: int = 0) -> FrameHeader | None:
    """The frame header at ``offset``, or None if there is no sound one."""
    if len(buffer) - offset < FRAME_HEADER.size:
        return None
    sync, *fields, crc = FRAME_HEADER.unpack_from(buffer, offset)
    if sync != SYNC or zlib.crc32(buffer[offset : offset + CHECKED_SIZE]) != crc:
        return None
    header = FrameHeader(*fields)
    limit = MAX_EVENTS_PAYLOAD if header.type == FrameType.EVENTS else MAX_RECORD_PAYLOAD
    # What does not compress is stored raw, so no codec ever makes a payload longer.
    if not header.stored_len <= header.raw_len <= limit:
        return None
    return header


def is_known(header: FrameHeader) -> bool:
    """Whether this version of the format says what the frame holds and how it is stored."""
    if header.type in _COMPRESSED:
        return header.codec in (Codec.RAW, Codec.ZLIB, Codec.PLANES)
    return header.type in RECORD_TYPES and header.codec == Codec.RAW


def compress(raw: bytes) -> tuple[Codec, bytes]:
    """``raw`` as it is to be stored: in planes and compressed, unless that gains nothing.

    Of the 16 bytes of an event, or of a row of scheduling, most rarely change from one to the
    next. Laid side by side they compress better *and* faster than whole records do.
    """
    planes = b"".join([raw[i::EVENT_SIZE] for i in range(EVENT_SIZE)])
    stored = zlib.compress(planes, 1)
    return (Codec.PLANES, stored) if len(stored) < len(raw) else (Codec.RAW, raw)
