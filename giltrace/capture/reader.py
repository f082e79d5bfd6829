"""Reading a capture file: whatever is whole comes back, whatever is not is counted."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import EVENT_SIZE
from giltrace.capture.format import (
    EVENTS_HEAD,
    FILE_HEADER,
    MINOR,
    RECORD_TYPES,
    RUN,
    VERSION,
    CaptureError,
    FrameType,
    is_known,
    no_whole_frame,
    parse_file_header,
)
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
    decode,
)
from giltrace.capture.scan import Frame, FrameScanner
from giltrace.capture.scheduling import ROW_SIZE

__all__ = ["MAX_EVENTS", "Capture", "CaptureError", "Events", "Loss", "read"]

U64: TypeAlias = npt.NDArray[np.uint64]
U32: TypeAlias = npt.NDArray[np.uint32]

NO_SESSION: Final = SessionInfo(giltrace="", argv=[], started_ns=0, started_unix_ns=0)


@dataclass(frozen=True, slots=True)
class Events:
    """All events of one process in file order: three columns of equal length n.

    Within one thread, file order is program order.

    Attributes:
        ts: ``<u8`` [n], ns of CLOCK_MONOTONIC (a frame word for FRAME events, 0 for DETAIL).
        data: ``<u8`` [n], kind, flags, gil and payload as in `giltrace.capture.events`.
        thread: ``<u4`` [n], index of the thread within its process.
    """

    ts: U64
    data: U64
    thread: U32

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True)
class Loss:
    """What the file does not hold, or holds in a form that could not be read.

    Attributes:
        bytes_skipped: bytes that belong to no readable frame, a cut-off tail included.
        truncated: the last bytes are no whole frame: cut off, damaged, or still being written.
        ended: the recorder wrote its END record; if not, it died or still runs.
        damaged_frames: stretches of bytes or frames that were skipped.
        unknown_frames: frames of a type or codec from a later minor version, skipped too.
        events_unread: events, and rows of scheduling, beyond the limit that `read` was given.
    """

    bytes_skipped: int = 0
    truncated: bool = False
    ended: bool = False
    damaged_frames: int = 0
    unknown_frames: int = 0
    events_unread: int = 0


@dataclass(slots=True)
class Capture:
    """The content of one capture file: all records in file order, events as columns.

    ``session`` has empty fields if the SESSION record was damaged. ``events`` maps the index of a
    process to its events; a process without events has no entry. ``scheduling`` is ``<u8`` [n, 2],
    rows as in `giltrace.capture.scheduling`.
    """

    session: SessionInfo
    processes: list[ProcessInfo] = field(default_factory=list)
    threads: list[ThreadInfo] = field(default_factory=list)
    thread_names: list[ThreadName] = field(default_factory=list)
    gils: list[GilInfo] = field(default_factory=list)
    codes: list[CodeInfo] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    process_ends: list[ProcessEnd] = field(default_factory=list)
    switch_intervals: list[SwitchInterval] = field(default_factory=list)
    calls: list[CallInfo] = field(default_factory=list)
    sources: list[SourceText] = field(default_factory=list)
    descriptors: list[Descriptor] = field(default_factory=list)
    end: End | None = None
    events: dict[int, Events] = field(default_factory=dict)
    scheduling: U64 = field(default_factory=lambda: np.zeros((0, 2), np.uint64), compare=False)
    loss: Loss = field(default_factory=Loss)
    version: tuple[int, int] = (VERSION, MINOR)


MAX_EVENTS: Final = 100_000_000
"""How many events `read` keeps unless told otherwise: 2 GB of columns."""


def read(path: str | os.PathLike[str], *, max_events: int = MAX_EVENTS) -> Capture:
    """Read the capture file at ``path``; it may still be growing.

    Memory stays within a small multiple of the size of the file plus 30 bytes for each event, of
    which no more than the first ``max_events`` are kept.

    Raises:
        CaptureError: not a capture, empty, of a newer version, without any whole frame, or the
            operating system refuses to read it.
    """
    try:
        # Opening a pipe could wait for ever, and frames are found by seeking.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CaptureError("not a regular file", "Give the path of a *.giltrace file.")
        with open(path, "rb") as file:
            return _read(file, max_events)
    except CaptureError as error:
        raise CaptureError(f"{os.fspath(path)}: {error.message}", error.hint) from None
    except OSError as error:
        raise CaptureError(f"{os.fspath(path)}: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the path
        raise CaptureError(f"{os.fspath(path)!r}: {error}") from error


def _read(file: BinaryIO, max_events: int) -> Capture:
    # Measured first: what a recorder appends from now on is no truncated tail.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    version = parse_file_header(file.read(FILE_HEADER.size))
    scanner = FrameScanner(file)
    collector = _Collector(max_events)
    for frame in scanner:
        collector.add(frame)
    if scanner.offset == FILE_HEADER.size:
        raise no_whole_frame()
    return collector.capture(version, scanner, max(0, size - scanner.offset))


class Gatherer:
    """Takes what a `giltrace.capture.CaptureWriter` takes, and makes a `Capture` of it."""

    def __init__(self) -> None:
        self._records: defaultdict[type[Record], list[Any]] = defaultdict(list)
        self._columns: defaultdict[int, _Columns] = defaultdict(_Columns)
        self._scheduling: list[U64] = []

    def write(self, record: Record) -> None:
        """Take one record."""
        self._records[type(record)].append(record)

    def events(self, process: int, runs: Sequence[tuple[int, int]] | U32, events: bytes) -> None:
        """Take events of one process."""
        table = np.asarray(runs, np.uint32).reshape(-1, 2)
        words = np.frombuffer(events, "<u8").reshape(-1, 2)
        self.take(process, np.repeat(table[:, 0], table[:, 1]), words)

    def take(self, process: int, threads: U32, words: U64) -> None:
        """The same, as columns: the thread of each event, and its two words."""
        self._columns[process].add(words, threads)

    def scheduling(self, rows: bytes) -> None:
        """Take what the kernel did with threads."""
        self.take_scheduling(np.frombuffer(rows, "<u8").reshape(-1, 2))

    def take_scheduling(self, rows: U64) -> None:
        """The same, as columns."""
        self._scheduling.append(rows)

    def flush(self) -> None:
        """Nothing: there is nobody else to hand it to."""

    def capture(self, loss: Loss | None = None, version: tuple[int, int] | None = None) -> Capture:
        """All there is so far, handed over: do not use this object again.

        Args:
            loss: what was lost; None: nothing but perhaps the end.
            version: of the format, major and minor; None: this one.
        """
        records = self._records
        ends: list[End] = records[End]
        return Capture(
            session=next(iter(records[SessionInfo]), NO_SESSION),
            processes=records[ProcessInfo],
            threads=records[ThreadInfo],
            thread_names=records[ThreadName],
            gils=records[GilInfo],
            codes=records[CodeInfo],
            samples=records[Sample],
            process_ends=records[ProcessEnd],
            switch_intervals=records[SwitchInterval],
            calls=records[CallInfo],
            sources=records[SourceText],
            descriptors=records[Descriptor],
            end=ends[-1] if ends else None,
            events={process: grown.take() for process, grown in self._columns.items()},
            scheduling=np.concatenate([np.zeros((0, 2), np.uint64), *self._scheduling]),
            loss=replace(loss or Loss(), ended=bool(ends)),
            version=version or (VERSION, MINOR),
        )


class _Collector:
    """Takes the frames of a file, in order, into a `Gatherer`."""

    def __init__(self, max_events: int) -> None:
        self._room = max_events
        self._gathered = Gatherer()
        self._bytes_damaged = 0
        self._damaged = 0
        self._unknown = 0
        self._unread = 0

    def add(self, frame: Frame) -> None:
        if not is_known(frame.header):
            self._unknown += 1
        elif not self._take(frame):
            self._damaged += 1
            self._bytes_damaged += frame.size

    def capture(self, version: tuple[int, int], scanner: FrameScanner, tail: int) -> Capture:
        """All there is so far, handed over.

        Args:
            version: of the format, major and minor.
            scanner: where the frames came from.
            tail: number of bytes after the last whole frame.
        """
        loss = Loss(
            bytes_skipped=scanner.bytes_skipped + self._bytes_damaged + tail,
            truncated=tail > 0,
            damaged_frames=scanner.gaps + self._damaged + (tail > 0),
            unknown_frames=self._unknown,
            events_unread=self._unread,
        )
        return self._gathered.capture(loss, version)

    def _take(self, frame: Frame) -> bool:
        payload = frame.payload()
        if payload is None:
            return False
        if frame.header.type == FrameType.EVENTS:
            return self._take_events(payload)
        if frame.header.type == FrameType.SCHEDULING:
            return self._take_scheduling(payload)
        record = decode(RECORD_TYPES[frame.header.type], payload)
        if record is None:
            return False
        self._gathered.write(record)
        return True

    def _take_scheduling(self, payload: bytes) -> bool:
        if len(payload) % ROW_SIZE:
            return False
        rows = np.frombuffer(payload, "<u8").reshape(-1, 2)
        self._gathered.take_scheduling(rows[: self._keep(len(rows))])
        return True

    def _keep(self, count: int) -> int:
        """How many of so many events, or rows, there is room for."""
        kept = min(count, self._room)
        self._room -= kept
        self._unread += count - kept
        return kept

    def _take_events(self, payload: bytes) -> bool:
        if len(payload) < EVENTS_HEAD.size:
            return False
        process, nruns = EVENTS_HEAD.unpack_from(payload)
        start = EVENTS_HEAD.size + nruns * RUN.size
        count, rest = divmod(len(payload) - start, EVENT_SIZE)
        if count < 0 or rest:
            return False
        if not nruns:
            return bool(count == 0)
        runs = np.frombuffer(payload, "<u4", 2 * nruns, EVENTS_HEAD.size).reshape(-1, 2)
        if int(runs[:, 1].sum(dtype=np.uint64)) != count:
            return False
        kept = self._keep(count)
        if kept:
            words = np.frombuffer(payload, "<u8", 2 * count, start).reshape(-1, 2)
            threads = np.repeat(runs[:, 0], runs[:, 1])
            self._gathered.take(process, threads[:kept], words[:kept])
        return True


class _Columns:
    """The events of one process: columns that grow in place.

    Growing moves pages instead of copying them, so even a large file's events exist only once.
    """

    def __init__(self) -> None:
        self._used = 0
        self._ts: U64 = np.empty(0, np.uint64)
        self._data: U64 = np.empty(0, np.uint64)
        self._thread: U32 = np.empty(0, np.uint32)

    def add(self, words: U64, threads: U32) -> None:
        start, self._used = self._used, self._used + len(words)
        if self._used > len(self._ts):
            self._resize(max(self._used, len(self._ts) * 3 // 2))
        self._ts[start : self._used] = words[:, 0]
        self._data[start : self._used] = words[:, 1]
        self._thread[start : self._used] = threads

    def take(self) -> Events:
        """The columns, handed over: do not use this object again."""
        self._resize(self._used)
        for column in (self._ts, self._data, self._thread):
            column.setflags(write=False)
        return Events(self._ts, self._data, self._thread)

    def _resize(self, size: int) -> None:
        # Nobody else has a reference yet: see `take`.
        self._ts.resize(size, refcheck=False)
        self._data.resize(size, refcheck=False)
        self._thread.resize(size, refcheck=False)
