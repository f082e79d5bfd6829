"""The last seconds of a recording in memory, and a whole capture of them on demand.

What was drained goes in as it would into a file. Events are kept, compressed, for as long as asked
for; of everything else only what they need to be understood.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from giltrace.capture import CaptureWriter
from giltrace.capture.events import Kind
from giltrace.capture.format import Codec, compress
from giltrace.capture.records import End, ProcessInfo, Record, SessionInfo, SourceText
from giltrace.capture.scan import join_planes
from giltrace.record.cut import Beginnings, earliest_ns, priorities_then, still_open
from giltrace.record.facts import Facts
from giltrace.record.follow import Follower, Open, Taken

_MOST_BYTES: Final = 256 << 20
_SWEEP_NS: Final = 1_000_000_000
GOES_ON: Final = "the recording went on"
"""The reason in the last record of a capture that was made on the way."""


@dataclass
class _Block:
    """Events of one process that arrived together, and what they have left open."""

    arrived_ns: int
    process: int
    runs: Sequence[tuple[int, int]]
    codec: Codec
    stored: bytes
    open: dict[int, Open | None]
    priorities: dict[int, int]

    def events(self) -> bytes:
        return _unpacked(self.codec, self.stored)


@dataclass
class _Rows:
    """What the kernel did with threads, as it arrived together."""

    arrived_ns: int
    codec: Codec
    stored: bytes

    def rows(self) -> bytes:
        return _unpacked(self.codec, self.stored)


class _Process:
    """One process: facts, what is open now, and what was open before its first block."""

    def __init__(self, info: ProcessInfo) -> None:
        self.facts = Facts(info)
        self.now = Follower()
        self.open_before: dict[int, Open] = {}
        self.priorities_before: dict[int, int] = {}
        self.cut_ns: int | None = None

    def drop(self, block: _Block) -> None:
        self.cut_ns = block.arrived_ns
        self.priorities_before.update(block.priorities)
        for thread, what in block.open.items():
            if what is None:
                self.open_before.pop(thread, None)
            else:
                self.open_before[thread] = what

    def start_ns(self, first: _Block | None, now: int) -> int:
        """Since when the window shows it."""
        if self.cut_ns is None:
            return self.facts.info.start_ns
        found = earliest_ns(first.events()) if first is not None else None
        return min(self.cut_ns, now) if found is None else found


class Window:
    """Keeps the last seconds of everything that goes in; a `giltrace.record.sink.Sink`.

    Attributes:
        lasting: it is not.
        span_ns: how much it keeps.
        bytes: memory that its events take.
        full: events had to go before their time, because there were too many.
    """

    lasting = False

    def __init__(
        self,
        span_ns: int,
        *,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Keep what has arrived within the last ``span_ns``, in at most ``most_bytes``."""
        self._clock = clock
        self.span_ns = span_ns
        self.bytes = 0
        self.full = False
        self._most_bytes = most_bytes
        self._blocks: deque[_Block] = deque()
        self._scheduling: deque[_Rows] = deque()
        self._processes: dict[int, _Process] = {}
        self._texts: list[SourceText] = []
        self._end: End | None = None
        self._sweep_ns = 0

    # ------------------------------------------------------------------ what goes in

    def write(self, record: Record) -> None:
        """Take a record."""
        if isinstance(record, ProcessInfo):
            self._processes[record.process] = _Process(record)
        elif isinstance(record, SourceText):
            self._texts.append(record)
        elif isinstance(record, End):
            self._end = record
        elif not isinstance(record, SessionInfo):
            facts = self._processes[record.process].facts
            facts.add(record, self._clock() - self.span_ns)

    def events(self, process: int, runs: Sequence[tuple[int, int]], events: bytes) -> None:
        """Take events of one process, as `CaptureWriter.events` does."""
        taken = self._processes[process].now.take(runs, events)
        codec, stored = compress(events)
        now = self._clock()
        self._blocks.append(
            _Block(now, process, tuple(runs), codec, stored, taken.open, taken.priorities)
        )
        self.bytes += len(stored)
        self._forget(now)
        self.took(taken)

    def scheduling(self, rows: bytes) -> None:
        """Take what the kernel did with threads, as `CaptureWriter.scheduling` does."""
        now = self._clock()
        codec, stored = compress(rows)
        self._scheduling.append(_Rows(now, codec, stored))
        self.bytes += len(stored)
        self._forget(now)

    def took(self, taken: Taken) -> None:
        """Called with what each block of events comes to."""

    def flush(self) -> None:
        """Nothing: who wants to see it makes a capture."""

    def longest_open_ns(self, kind: Kind) -> int:
        """For how long the oldest open WAIT or hold (ACQUIRE) of all has been so."""
        now = self._clock()
        return max(
            (
                process.now.longest_open_ns(kind, now)
                for process in self._processes.values()
                if process.facts.end is None
            ),
            default=0,
        )

    # ------------------------------------------------------------------ what goes out again

    def _forget(self, now: int) -> None:
        since = now - self.span_ns
        blocks = self._blocks
        while blocks and (blocks[0].arrived_ns < since or self.bytes > self._most_bytes):
            block = blocks.popleft()
            self.full |= block.arrived_ns >= since
            self.bytes -= len(block.stored)
            self._processes[block.process].drop(block)
        rows = self._scheduling
        while rows and (rows[0].arrived_ns < since or self.bytes > self._most_bytes):
            self.bytes -= len(rows.popleft().stored)
        if now >= self._sweep_ns:
            self._sweep_ns = now + _SWEEP_NS
            self._sweep(since)

    def _sweep(self, since: int) -> None:
        """Forget processes and threads that have ended and are in no block."""
        kept = {block.process for block in self._blocks}
        for number, process in list(self._processes.items()):
            end = process.facts.end
            if end is not None and end.ts_ns < since and number not in kept:
                del self._processes[number]
            elif process.facts.has_too_many_threads():
                for thread in process.facts.forget_threads(self._threads_of(number)):
                    process.open_before.pop(thread, None)
                    process.priorities_before.pop(thread, None)
                    process.now.open.pop(thread, None)

    def _threads_of(self, process: int) -> set[int]:
        """Which of its threads have events here."""
        mine = (block for block in self._blocks if block.process == process)
        return {thread for block in mine for thread, _ in block.runs}

    # ------------------------------------------------------------------ a capture of it

    def save(self, writer: CaptureWriter, sources: Iterable[SourceText] = ()) -> None:
        """Write all that is kept as a whole capture.

        Args:
            writer: has written the session record already.
            sources: source text to go with it, while the recording goes on.

        Raises:
            OSError: it cannot be written.
        """
        now = self._clock()
        self._forget(now)
        beginnings = {}
        for number, process in self._processes.items():
            first = next((block for block in self._blocks if block.process == number), None)
            start_ns = process.start_ns(first, now)
            if process.cut_ns is not None:
                beginnings[number] = Beginnings(start_ns)
            needed = self._threads_of(number) | set(process.open_before)
            for record in process.facts.before_events(start_ns, needed):
                writer.write(record)
            writer.events(number, *still_open(process.open_before, start_ns))
            had = {one: data for one, data in process.priorities_before.items() if one in needed}
            writer.events(number, *priorities_then(had, start_ns))
        for number, runs, events in self._trimmed(beginnings):
            writer.events(number, runs, events)
        for block in self._scheduling:
            writer.scheduling(block.rows())
        for process in self._processes.values():
            for record in process.facts.after_events(now):
                writer.write(record)
        for source in (*self._texts, *sources):
            writer.write(source)
        writer.write(self._end or End(now, None, None, GOES_ON))
        writer.flush()

    def _trimmed(
        self, beginnings: dict[int, Beginnings]
    ) -> Iterator[tuple[int, Sequence[tuple[int, int]], bytes]]:
        for block in self._blocks:
            runs, events = block.runs, block.events()
            if block.process in beginnings:
                runs, events = beginnings[block.process].trim(runs, events)
            yield block.process, runs, events


def _unpacked(codec: Codec, stored: bytes) -> bytes:
    return stored if codec == Codec.RAW else join_planes(zlib.decompress(stored))
