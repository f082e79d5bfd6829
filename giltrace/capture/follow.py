"""Following a capture that is still being written: one more reader, at no cost for the target."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final, Self

import numpy as np

from giltrace.capture.events import EVENT_SIZE, KIND_MASK, PAYLOAD_SHIFT, Kind
from giltrace.capture.facts import Alive
from giltrace.capture.format import (
    EVENTS_HEAD,
    FILE_HEADER,
    RECORD_TYPES,
    RUN,
    FrameType,
    is_known,
    parse_file_header,
)
from giltrace.capture.records import SessionInfo, decode
from giltrace.capture.scan import Frame, FrameScanner
from giltrace.capture.window import MOST_BYTES, Window

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_PUNCH_BYTES: Final = 8 << 20


class Follower:
    """Takes what is new in a capture into a `Window`; a context manager that closes the file.

    Attributes:
        window: the last seconds; None until the first record has been read.
        lost_events: events that the target had no room for, as far as they are told so far.
    """

    def __init__(
        self,
        path: Path,
        *,
        seconds: float,
        most_bytes: int = MOST_BYTES,
        consume: bool = False,
        alive: Alive = lambda _process, _thread: True,
    ) -> None:
        """Open the file, which may be empty as yet.

        Args:
            path: the capture.
            seconds: how much of it to keep.
            most_bytes: memory for events.
            consume: give the disk space of what has been read back, because nobody else reads it.
            alive: which threads still run: see `Window`.

        Raises:
            OSError: it cannot be opened.
        """
        self.window: Window | None = None
        self.lost_events = 0
        self._span_ns, self._most_bytes = round(seconds * 1e9), most_bytes
        self._alive, self._consume = alive, consume
        self._file = open(path, "r+b" if consume else "rb")  # noqa: SIM115
        self._scanner: FrameScanner | None = None
        self._given_back = 0

    def read(self, most_frames: int = 1000) -> bool:
        """Take what is new, but no more than so much at a time.

        Returns:
            Whether anything was.

        Raises:
            giltrace.capture.CaptureError: it is no capture.
            OSError: it cannot be read.
        """
        if self._scanner is None:
            header = os.pread(self._file.fileno(), FILE_HEADER.size, 0)
            if len(header) < FILE_HEADER.size:
                return False
            parse_file_header(header)
            self._scanner = FrameScanner(self._file)
        taken = 0
        for frame in self._scanner:
            self._take(frame)
            taken += 1
            if taken >= most_frames:
                break
        if self._consume and self._scanner.offset - self._given_back > _PUNCH_BYTES:
            self._give_back(self._scanner.offset)
        return taken > 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _take(self, frame: Frame) -> None:
        payload = frame.payload() if is_known(frame.header) else None
        if payload is None:
            return  # damaged, or of a later version
        if frame.header.type == FrameType.EVENTS:
            self._take_events(payload)
            return
        if frame.header.type not in RECORD_TYPES:
            return  # scheduling: a live view shows none
        record = decode(RECORD_TYPES[frame.header.type], payload)
        if isinstance(record, SessionInfo) and self.window is None:
            self.window = Window(self._span_ns, most_bytes=self._most_bytes, alive=self._alive)
        if record is not None and self.window is not None:
            self.window.write(record)

    def _take_events(self, payload: bytes) -> None:
        if len(payload) < EVENTS_HEAD.size or self.window is None:
            return
        process, count = EVENTS_HEAD.unpack_from(payload)
        start = EVENTS_HEAD.size + count * RUN.size
        if start > len(payload) or (len(payload) - start) % EVENT_SIZE:
            return
        runs = np.frombuffer(payload, "<u4", 2 * count, EVENTS_HEAD.size).reshape(-1, 2)
        words = np.frombuffer(payload, "<u8", offset=start).reshape(-1, 2)
        if int(runs[:, 1].sum(dtype=np.uint64)) != len(words):
            return
        lost = words[words[:, 1] & np.uint64(KIND_MASK) == Kind.LOST, 1]
        self.lost_events += int((lost >> np.uint64(PAYLOAD_SHIFT)).sum())
        self.window.events(process, runs, payload[start:])

    def _give_back(self, end: int) -> None:
        """Make a hole of what has been read: the file keeps its length, and loses its blocks."""
        libc = ctypes.CDLL(None, use_errno=True)
        start, self._given_back = self._given_back, end
        offset, size = ctypes.c_int64(start), ctypes.c_int64(end - start)
        libc.fallocate(self._file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, offset, size)
