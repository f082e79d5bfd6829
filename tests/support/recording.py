"""Making captures by hand: processes, threads, code objects and events, one call each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from giltrace.capture.events import (
    CALL_SHIFT,
    FLAG_AT_CHECK,
    FLAG_CALL,
    FLAG_SYNTHETIC,
    Kind,
    pack_data,
    pack_place,
    pack_span,
)
from giltrace.capture.reader import Capture, Events, Loss
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
from giltrace.capture.scheduling import pack_row
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
    firstlineno: int = 1
    spots: list[Spot] = field(default_factory=list)

    def word(self, spot: Spot) -> int:
        """The frame word of a position in this code object."""
        if spot not in self.spots:
            self.spots.append(spot)
        return pack_place(self.number, self.spots.index(spot))

    def info(self, process: int) -> CodeInfo:
        """Its record, with a line table that says where each instruction is."""
        table = bytearray()
        line = self.firstlineno
        for spot in self.spots:
            table += _entry(spot, spot.line - line)
            line = spot.line
        return CodeInfo(
            process, self.number, self.firstlineno, self.filename, self.qualname, bytes(table)
        )


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
    calls: list[str] = field(default_factory=list)
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
        return self._code(spot).word(spot)

    def _code(self, spot: Spot) -> Code:
        key = spot.filename, spot.qualname
        return self.codes.setdefault(key, Code(len(self.codes) + 1, *key))

    def call(self, name: str) -> int:
        """The number of the C function of that name, a new one if there is none."""
        if name not in self.calls:
            self.calls.append(name)
        return self.calls.index(name) + 1

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
        name: str = "",
        cpu_ns: int | None = None,
        fd: int | None = None,
    ) -> None:
        """A RELEASE event, with a CPU, FRAMEs for its callers and a DETAIL behind it.

        Args:
            thread: number of the thread.
            ts: when.
            spot: where.
            callers: innermost first.
            gil: number of the GIL.
            check: at a pure check.
            call: made through PyEval_SaveThread.
            synthetic: recording stopped.
            name: of the C function it is made in.
            cpu_ns: what the thread's CPU clock shows.
            fd: the file descriptor it is about.
        """
        flags = FLAG_SYNTHETIC * synthetic | FLAG_AT_CHECK * check | FLAG_CALL * call
        word = self.word(spot) | (self.call(name) << CALL_SHIFT if name else 0)
        self.event(Kind.RELEASE, thread, ts, word, flags=flags, gil=gil)
        if cpu_ns is not None:
            self.cpu(thread, ts, cpu_ns)
        words = [*(self.word(caller) for caller in callers), 0]
        for i in range(0, len(callers), 2):
            self.event(Kind.FRAME, thread, words[i + 1], words[i])
        if fd is not None:
            self.event(Kind.DETAIL, thread, 0, fd)

    def cpu(self, thread: int, ts: int, cpu_ns: int) -> None:
        """A CPU event; it belongs right behind an ACQUIRE or RELEASE of the same time."""
        self.event(Kind.CPU, thread, ts, cpu_ns)

    def span(self, thread: int, start: int, end: int, spot: Spot | None, depth: int = 1) -> None:
        """SPAN and SPAN_END of a call of the function that begins at ``spot``."""
        code = 0
        if spot is not None:
            function = self._code(spot)
            function.firstlineno = spot.line
            code = function.number
        self.event(Kind.SPAN, thread, start, pack_span(code, depth))
        self.event(Kind.SPAN_END, thread, end, pack_span(code, depth))

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
        process = self.info.process
        codes = (code.info(process) for code in self.codes.values())
        calls = (CallInfo(process, i, name) for i, name in enumerate(self.calls, 1))
        return [self.info, *self.threads, *self.gils, *codes, *calls]

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
        scheduling: rows of what the kernel did with threads.
    """

    session: SessionInfo = field(
        default_factory=lambda: SessionInfo("0.1.0", ["app.py"], 0, 1_700_000_000_000_000_000)
    )
    processes: list[ProcessRecording] = field(default_factory=list)
    extra: list[Record] = field(default_factory=list)
    end: End | None = None
    scheduling: list[bytes] = field(default_factory=list)

    def scheduled(self, ts: int, what: int, tid: int, *, cpu: int = 0) -> None:
        """The kernel did something with a thread."""
        self.scheduling.append(pack_row(ts, what, tid, cpu=cpu))

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
            CallInfo: capture.calls,  # type: ignore[dict-item]
            SourceText: capture.sources,  # type: ignore[dict-item]
            Descriptor: capture.descriptors,  # type: ignore[dict-item]
        }
        for record in self._records():
            lists[type(record)].append(record)
        for process in self.processes:
            if process.events:
                capture.events[process.info.process] = process.columns()
        rows = b"".join(self.scheduling)
        capture.scheduling = np.frombuffer(rows, "<u8").reshape(-1, 2)
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
            writer.scheduling(b"".join(self.scheduling))
            for record in [*self.extra, *self._ends(), *([self.end] if self.end else [])]:
                writer.write(record)
        return path

    def _ends(self) -> list[ProcessEnd]:
        return [end for process in self.processes if (end := process.end()) is not None]

    def _records(self) -> list[Record]:
        records = [record for process in self.processes for record in process.records()]
        return [*records, *self.extra, *self._ends()]
