"""Finding the whole frames of a capture file, past any damage, from any offset."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from giltrace.capture.events import EVENT_SIZE
from giltrace.capture.format import (
    FILE_HEADER,
    FRAME_HEADER,
    SYNC,
    Codec,
    FrameHeader,
    parse_frame_header,
)

_CHUNK: Final = 1 << 16
_FREE_RETRIES: Final = 64 << 20


class Frame(NamedTuple):
    """A frame whose two checksums are right; its payload is still as stored."""

    header: FrameHeader
    stored: bytes

    @property
    def size(self) -> int:
        """Bytes it takes in the file."""
        return FRAME_HEADER.size + len(self.stored)

    def payload(self) -> bytes | None:
        """The payload as it was before `format.compress`, or None if it can not be had."""
        if self.header.codec == Codec.RAW:
            return self.stored if len(self.stored) == self.header.raw_len else None
        if self.header.codec not in (Codec.ZLIB, Codec.PLANES):
            return None
        inflate = zlib.decompressobj()
        try:
            # One byte more than announced is enough to know that it is too long.
            raw = inflate.decompress(self.stored, self.header.raw_len + 1)
        except zlib.error:
            return None
        if len(raw) != self.header.raw_len or not inflate.eof:
            return None
        return join_planes(raw) if self.header.codec == Codec.PLANES else raw


class FrameScanner:
    """Yields the whole frames of ``file`` from ``offset`` on.

    When the frames are used up, `offset` is the first byte that belongs to none of them: the end of
    the file, or the start of a tail that is cut off, damaged or not yet written. Iterating again
    goes on from there, so a file that still grows can be followed.

    Attributes:
        offset: first byte that is neither in a frame nor skipped.
        bytes_skipped: bytes between frames that belong to no whole frame.
        gaps: how many stretches these bytes are.
    """

    def __init__(self, file: BinaryIO, offset: int = FILE_HEADER.size) -> None:
        self.offset = offset
        self.bytes_skipped = 0
        self.gaps = 0
        self._file = file
        self._retried = 0

    def __iter__(self) -> Iterator[Frame]:
        self._retried = 0
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        at: int | None = self.offset
        while at is not None:
            header = parse_frame_header(self._read(at, FRAME_HEADER.size))
            if header is None:
                at = self._find_header(at + 1)
                continue
            stored = self._read(at + FRAME_HEADER.size, header.stored_len)
            if len(stored) == header.stored_len and zlib.crc32(stored) == header.payload_crc:
                return self._accept(at, Frame(header, stored))
            self._retried += len(stored) + _CHUNK
            at = self._find_header(self._after_bad_payload(at, header))
        return None

    def _accept(self, at: int, frame: Frame) -> Frame:
        if at > self.offset:
            self.bytes_skipped += at - self.offset
            self.gaps += 1
        self.offset = at + frame.size
        return frame

    def _after_bad_payload(self, at: int, header: FrameHeader) -> int:
        """Where to look on after a sound header at ``at`` whose payload is bad or cut off.

        Bytes may be missing from it, so good frames may begin before its announced end. But a
        file full of sound headers over bad payloads must not cost quadratic time: once that has
        cost enough, the announced length is believed.
        """
        if self._retried <= _FREE_RETRIES + 4 * at:
            return at + 1
        return at + FRAME_HEADER.size + header.stored_len

    def _find_header(self, start: int) -> int | None:
        """The first offset from ``start`` on with a sound frame header."""
        while True:
            chunk = self._read(start, _CHUNK)
            last = len(chunk) - FRAME_HEADER.size
            at = chunk.find(SYNC)
            while 0 <= at <= last:
                if parse_frame_header(chunk, at) is not None:
                    return start + at
                at = chunk.find(SYNC, at + 1)
            if len(chunk) < _CHUNK:
                return None
            start += last + 1

    def _read(self, start: int, size: int) -> bytes:
        if size > _CHUNK:  # `file.read` allocates what it is asked for, not what there is
            size = min(size, max(0, self._file.seek(0, os.SEEK_END) - start))
        self._file.seek(start)
        return self._file.read(size)


def join_planes(planes: bytes) -> bytes:
    """Events as they were before `format.compress` laid their bytes side by side."""
    source = np.frombuffer(planes, np.uint8)
    raw = np.empty(len(planes), np.uint8)
    start = 0
    for i in range(EVENT_SIZE):
        target = raw[i::EVENT_SIZE]
        target[:] = source[start : start + len(target)]
        start += len(target)
    return raw.tobytes()
