"""Writing a capture file, frame by frame, in the process of the recorder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Final

from giltrace.capture.events import EVENT_SIZE, schema
from giltrace.capture.format import (
    EVENTS_HEAD,
    MAX_RECORD_PAYLOAD,
    RECORD_TYPES,
    RUN,
    Codec,
    FrameType,
    compress,
    file_header,
    pack_frame,
)
from giltrace.capture.records import Record, SessionInfo, encode
from giltrace.capture.scheduling import ROW_SIZE

# Larger frames gain nothing, and a reader needs memory for one whole frame. With a run for each
# event this many take 24 MiB: see format.MAX_EVENTS_PAYLOAD.
_MAX_FRAME_EVENTS: Final = 1 << 20
_MAX_ROWS_BYTES: Final = 1 << 23
# zlib's set-up costs more than so few bytes are worth.
_MIN_COMPRESS: Final = 256
_FRAME_TYPES: Final = {record: frame_type for frame_type, record in RECORD_TYPES.items()}


class CaptureWriter:
    """Appends records and events to a capture file.

    Each call makes whole frames and hands each to ``file`` in one write, so a reader meets at most
    one incomplete frame, the last. Not thread-safe. The file stays open: closing it is up to the
    caller.

    Attributes:
        lasting: nothing that it was given is ever dropped again.
        bytes_written: size of the capture so far, what ``file`` still buffers included.
    """

    lasting = True

    def __init__(self, file: BinaryIO, session: SessionInfo, *, compress: bool = True) -> None:
        """Write the file header and the SESSION record.

        Args:
            file: open for binary writing, at its start; must write all it is given (buffered).
            session: its ``schema`` is filled in if empty.
            compress: store events compressed; about 100 ns per event.

        Raises:
            OSError: from ``file``, here and in all other methods.
        """
        self.bytes_written = 0
        self._file = file
        self._compress = compress
        self._append(file_header())
        self.write(session if session.schema else replace(session, schema=schema()))

    def write(self, record: Record) -> None:
        """Append one record.

        Raises:
            ValueError: it takes more than 16 MiB, or can not be encoded (see `records.encode`).
            TypeError: it can not be encoded.
        """
        payload = encode(record)
        if len(payload) > MAX_RECORD_PAYLOAD:
            raise ValueError(f"a {type(record).__name__} of {len(payload)} bytes is too large")
        frame_type = _FRAME_TYPES[type(record)]
        self._append(pack_frame(frame_type, Codec.RAW, payload, len(payload)))

    def events(
        self, process: int, runs: Sequence[tuple[int, int]], events: bytes | memoryview
    ) -> None:
        """Append events of one process.

        Args:
            process: index of the process.
            runs: (thread index, number of events), in the order of their events.
            events: 16 bytes each, all of the first run, then all of the second, and so on.

        Raises:
            ValueError: the runs do not add up to the events.
        """
        view = memoryview(events).cast("B")
        count = sum(count for _, count in runs)
        if count * EVENT_SIZE != len(view):
            raise ValueError(f"runs of {count} events in all, but {len(view)} bytes of events")
        if not count:
            return
        if count <= _MAX_FRAME_EVENTS:
            self._events_frame(process, runs, view)
            return
        for run, part in _split(runs, view):
            self._events_frame(process, [run], part)

    def scheduling(self, rows: bytes | memoryview) -> None:
        """Append what the kernel did with threads: see `giltrace.capture.scheduling`.

        Raises:
            ValueError: these are no whole rows.
        """
        view = memoryview(rows).cast("B")
        if len(view) % ROW_SIZE:
            raise ValueError(f"{len(view)} bytes are no whole rows")
        for start in range(0, len(view), _MAX_ROWS_BYTES):
            self._compressed(FrameType.SCHEDULING, bytes(view[start : start + _MAX_ROWS_BYTES]))

    def complete(self, process: int, until_ns: int) -> None:
        """Nothing: what comes next completes it, and comes into the same file."""

    def flush(self) -> None:
        """Hand everything over to the operating system, so that readers see it."""
        self._file.flush()

    def _events_frame(
        self, process: int, runs: Sequence[tuple[int, int]], events: memoryview
    ) -> None:
        head = EVENTS_HEAD.pack(process, len(runs))
        raw = b"".join((head, *(RUN.pack(thread, count) for thread, count in runs), events))
        self._compressed(FrameType.EVENTS, raw)

    def _compressed(self, frame_type: FrameType, raw: bytes) -> None:
        codec, stored = Codec.RAW, raw
        if self._compress and len(raw) >= _MIN_COMPRESS:
            codec, stored = compress(raw)
        self._append(pack_frame(frame_type, codec, stored, len(raw)))

    def _append(self, raw: bytes) -> None:
        self._file.write(raw)
        self.bytes_written += len(raw)


def _split(
    runs: Sequence[tuple[int, int]], events: memoryview
) -> Iterator[tuple[tuple[int, int], memoryview]]:
    """Each run, in pieces that fit into a frame."""
    start = 0
    for thread, total in runs:
        for done in range(0, total, _MAX_FRAME_EVENTS):
            count = min(_MAX_FRAME_EVENTS, total - done)
            end = start + count * EVENT_SIZE
            yield (thread, count), events[start:end]
            start = end
