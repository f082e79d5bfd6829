"""Making captures by hand: processes, threads, code objects and events, one call each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from giltrace.capture.events import (
    FLAG_AT_CHECK,
    FLAG_CALL,
    FLAG_SYNTHETIC,
    Kind,
    pack_data,
    pack_place,
)
from giltrace.capture.reader import Capture, Events, Loss
from giltrace.capture.records import (
    CodeInfo,
    End,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    Record,
    Sample,
    SessionInfo,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)
from giltrace.capture.writer import CaptureWriter


class Spot(NamedTuple):
    """A position in source: columns are optional."""

    filename: str
    line: int
    qualname: str = "<module>"
    column: int | None = None
    end_column: int | None = None


@dataclass
class Code:
    """A code object that grows by one instruction of one code unit for each new position."""

    number: int
    filename: str
    qualname: str
    spots: list[Spot] = field(default_factory=list)

    def word(self, spot: Spot) -> int:
        """The frame word of a position in this code object."""
        if spot not in self.spots:
            self.spots.append(spot)
        return pack_place(self.number, self.spots.index(spot))

    def info(self, process: int) -> CodeInfo:
        """Its record, with a line table that says where each instruction is."""
        table = bytearray()
        line = 1
        for spot in self.spots:
            table += _entry(spot, spot.line - line)
            line = spot.line
        return CodeInfo(process, self.number, 1, self.filename, self.qualname, bytes(table))


def _entry(spot: Spot, delta: int) -> bytes:
    """One entry of a line table, for one code unit: with columns (14) or without (13)."""
    signed = -delta << 1 | 1 if delta < 0 else delta << 1
    if spot.column is None or spot.end_column is None:
        return bytes([0x80 | 13 << 3, *_varint(signed)])
    columns = [*_varint(0), *_varint(spot.column + 1), *_varint(spot.end_column + 1)]
    return bytes([0x80 | 14 << 3, *_varint(signed), *columns])


def _varint(value: int) -> list[int]:
    out = []
    while value >= 0x40:
        out.append(0x40 | value & 0x3F)
        value >>= 6
    return [*out, value]


@dataclass
class ProcessRecording:
    """One process being made up. Events are kept in the order of the calls.

    ``end_ns`` None: its end is not on record.
    """

    info: ProcessInfo
    end_ns: int | None = None
    lost_events: int = 0
    status: str = ""
    threads: list[ThreadInfo] = field(default_factory=list)
    gils: list[GilInfo] = field(default_factory=list)
    codes: dict[tuple[str, str], Code] = field(default_factory=dict)
    events: list[tuple[int, int, int]] = field(default_factory=list)

    def thread(self, name: str, tid: int | None = None, start_ns: int = 0) -> int:
        """The number of the thread of that name, a new one if there is none."""
        for known in self.threads:
            if known.name == name:
                return known.thread
        number = len(self.threads)
        tid = self.info.pid + number if tid is None else tid
        self.threads.append(ThreadInfo(self.info.process, number, tid, start_ns, name))
        return number

    def gil(self, number: int, interpreter: int | None = None, created_ns: int = 0) -> None:
        """Declare a GIL (events may name others)."""
        self.gils.append(
            GilInfo(
                self.info.process,
                number,
                number if interpreter is None else interpreter,
                created_ns,
            )
        )

    def word(self, spot: Spot | None) -> int:
        """The frame word of a position; unknown if None."""
        if spot is None:
            return pack_place(0, 0xFFFF)
        key = spot.filename, spot.qualname
        code = self.codes.setdefault(key, Code(len(self.codes) + 1, *key))
        return code.word(spot)

    def event(
        self, kind: int, thread: int, ts: int, payload: int, *, flags: int = 0, gil: int = 0
    ) -> None:
        """Any event."""
        self.events.append((thread, ts, pack_data(kind, payload, flags=flags, gil=gil)))

    def acquire(
        self, thread: int, ts: int, tenure: int, *, gil: int = 0, synthetic: bool = False
    ) -> None:
        """An ACQUIRE event."""
        self.event(Kind.ACQUIRE, thread, ts, tenure, flags=FLAG_SYNTHETIC * synthetic, gil=gil)

    def release(
        self,
        thread: int,
        ts: int,
        spot: Spot | None = None,
        *,
        callers: Sequence[Spot] = (),
        gil: int = 0,
        check: bool = False,
        call: bool = False,
        synthetic: bool = False,
    ) -> None:
        """A RELEASE event, and FRAME events for its callers."""
        flags = FLAG_SYNTHETIC * synthetic | FLAG_AT_CHECK * check | FLAG_CALL * call
        self.event(Kind.RELEASE, thread, ts, self.word(spot), flags=flags, gil=gil)
        words = [*(self.word(caller) for caller in callers), 0]
        for i in range(0, len(callers), 2):
            self.event(Kind.FRAME, thread, words[i + 1], words[i])

    def wait(self, thread: int, ts: int, tenure: int, *, gil: int = 0) -> None:
        """A WAIT event; ``tenure`` is that of the hold in the way."""
        self.event(Kind.WAIT, thread, ts, tenure, gil=gil)

    def request(self, thread: int, ts: int, tenure: int, *, gil: int = 0) -> None:
        """A DROP_REQUEST event; ``tenure`` is that of the hold it asks to end."""
        self.event(Kind.DROP_REQUEST, thread, ts, tenure, gil=gil)

    def lost(self, thread: int, count: int, ts: int = 0) -> None:
        """A LOST event."""
        self.event(Kind.LOST, thread, ts, count)

    def columns(self) -> Events:
        """All events as the reader gives them."""
        thread, ts, data = (
            np.array([event[i] for event in self.events], kind)
            for i, kind in enumerate(("<u4", "<u8", "<u8"))
        )
        return Events(ts, data, thread)

    def records(self) -> list[Record]:
        """All its records but the end."""
        codes = (code.info(self.info.process) for code in self.codes.values())
        return [self.info, *self.threads, *self.gils, *codes]

    def end(self) -> ProcessEnd | None:
        """Its end record."""
        if self.end_ns is None:
            return None
        return ProcessEnd(self.info.process, self.end_ns, self.lost_events, self.status)


@dataclass
class Recording:
    """A whole capture being made up.

    Attributes:
        processes: in the order of their numbers.
        extra: any more records (samples, names, switch intervals).
        end: None if the recorder died.
    """

    session: SessionInfo = field(
        default_factory=lambda: SessionInfo("0.1.0", ["app.py"], 0, 1_700_000_000_000_000_000)
    )
    processes: list[ProcessRecording] = field(default_factory=list)
    extra: list[Record] = field(default_factory=list)
    end: End | None = None

    def process(self, pid: int = 100, **info: object) -> ProcessRecording:
        """One more process; ``info`` are fields of its ProcessInfo."""
        values: dict[str, object] = {"ppid": 1, "start_ns": 0, "python": "3.11.7", **info}
        made = ProcessRecording(
            ProcessInfo(process=len(self.processes), pid=pid, **values)  # type: ignore[arg-type]
        )
        self.processes.append(made)
        return made

    def capture(self) -> Capture:
        """The capture as the reader would give it."""
        capture = Capture(self.session, end=self.end, loss=Loss(ended=self.end is not None))
        lists: dict[type, list[object]] = {
            ProcessInfo: capture.processes,  # type: ignore[dict-item]
            ThreadInfo: capture.threads,  # type: ignore[dict-item]
            ThreadName: capture.thread_names,  # type: ignore[dict-item]
            GilInfo: capture.gils,  # type: ignore[dict-item]
            CodeInfo: capture.codes,  # type: ignore[dict-item]
            Sample: capture.samples,  # type: ignore[dict-item]
            ProcessEnd: capture.process_ends,  # type: ignore[dict-item]
            SwitchInterval: capture.switch_intervals,  # type: ignore[dict-item]
        }
        for record in self._records():
            lists[type(record)].append(record)
        for process in self.processes:
            if process.events:
                capture.events[process.info.process] = process.columns()
        return capture

    def write(self, path: Path) -> Path:
        """Write the capture to a file, as the recorder would."""
        with path.open("wb") as file:
            writer = CaptureWriter(file, self.session)
            for process in self.processes:
                for record in process.records():
                    writer.write(record)
                columns = process.columns()
                words = np.stack([columns.ts, columns.data], axis=1)
                runs = [(thread, 1) for thread in columns.thread.tolist()]
                writer.events(process.info.process, runs, words.tobytes())
            for record in [*self.extra, *self._ends(), *([self.end] if self.end else [])]:
                writer.write(record)
        return path

    def _ends(self) -> list[ProcessEnd]:
        return [end for process in self.processes if (end := process.end()) is not None]

    def _records(self) -> list[Record]:
        records = [record for process in self.processes for record in process.records()]
        return [*records, *self.extra, *self._ends()]
