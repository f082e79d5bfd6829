"""The last seconds of a recording, at bounded memory, and at any time a whole capture of them.

A `Window` takes what a `CaptureWriter` takes. It keeps the events of the last seconds in the blocks
in which they came, and of those that have gone only what each thread was doing last: see
`giltrace.capture.cut`. Where the cut is, and which events of a block are before it, is found out
when a capture is made; until then blocks stay as they are.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from giltrace.capture.cut import (
    NO_PAST,
    U32,
    U64,
    Bool,
    Digest,
    Past,
    after,
    clip_spans,
    digest,
    owners,
    past,
    runs_of,
    together,
    words_of,
)
from giltrace.capture.facts import Alive, Facts
from giltrace.capture.format import Codec, compress
from giltrace.capture.reader import NO_SESSION, Capture, Gatherer
from giltrace.capture.records import End, ProcessInfo, Record, SessionInfo, SourceText
from giltrace.capture.scan import join_planes
from giltrace.capture.writer import CaptureWriter

MOST_BYTES: Final = 256 << 20
"""Memory for events, unless told otherwise: 16 million of them, or 60 million compressed ones."""
GOES_ON: Final = "the recording went on"
"""The reason in the last record of a capture that was made on the way."""

_SWEEP_NS: Final = 1_000_000_000


class _Packed:
    """Some bytes, perhaps compressed.

    Attributes:
        arrived_ns: when they came.
        size: memory that they take.
    """

    def __init__(self, raw: bytes, arrived_ns: int, *, packed: bool) -> None:
        self._codec, self._stored = compress(raw) if packed else (Codec.RAW, raw)
        self.arrived_ns = arrived_ns
        self.size = len(self._stored)

    def raw(self) -> bytes:
        """As they came."""
        if self._codec == Codec.RAW:
            return self._stored
        return join_planes(zlib.decompress(self._stored))


class _Block(_Packed):
    """Events of one process that came together.

    Attributes:
        runs: uint32 [n, 2], thread and number of events.
        digest: what is known of them without unpacking them.
    """

    def __init__(
        self, runs: U32, events: bytes, digest: Digest, arrived_ns: int, *, packed: bool
    ) -> None:
        super().__init__(events, arrived_ns, packed=packed)
        self.runs = runs
        self.digest = digest
        self.size += runs.nbytes + digest.past.words.nbytes

    def columns(self) -> tuple[U32, U64]:
        """The thread of each event, and its two words."""
        return owners(self.runs), words_of(self.raw())


@dataclass(slots=True)
class _Process:
    """One process: what is known about it, its blocks, and what went before them.

    Attributes:
        cut_ns: since when its events are complete; 0: all are there.
        complete_ns: until when they are; 0: nobody has said so yet.
    """

    facts: Facts
    blocks: deque[_Block]
    past: Past = NO_PAST
    cut_ns: int = 0
    complete_ns: int = 0

    @property
    def threads(self) -> set[int]:
        """The threads that have events here."""
        return {thread for block in self.blocks for thread in block.digest.threads}


class Window:
    """Keeps the last seconds of everything that goes in. Not thread-safe.

    Attributes:
        lasting: it is not.
        span_ns: how much it keeps.
        session: the session record, if it has come.
        newest_ns: the time of the newest event; 0 if there is none.
        events_taken: all events that ever came.
        bytes_kept: memory that the kept events take.
        full: events had to go before their time, because there were too many.
        end: the record that the recording has ended with, if it has.
    """

    lasting = False

    def __init__(
        self,
        span_ns: int,
        *,
        most_bytes: int = MOST_BYTES,
        packed: bool = False,
        clock: Callable[[], int] | None = None,
        alive: Alive = lambda _process, _thread: True,
    ) -> None:
        """Keep what has come within the last ``span_ns``, in at most ``most_bytes``.

        Args:
            span_ns: how much to keep.
            most_bytes: memory for events.
            packed: keep them compressed, at about 100 ns an event.
            clock: the time; without one it is that of the newest event.
            alive: which threads still run: others are forgotten with their events.
        """
        self.session: SessionInfo = NO_SESSION
        self.span_ns = span_ns
        self.newest_ns = 0
        self.events_taken = 0
        self.bytes_kept = 0
        self.full = False
        self.end: End | None = None
        self._most_bytes = most_bytes
        self._packed = packed
        self._clock = clock
        self._alive = alive
        self._processes: dict[int, _Process] = {}
        self._order: deque[_Process] = deque()  # of all blocks: whose each is
        self._scheduling: deque[_Packed] = deque()
        self._texts: list[SourceText] = []
        self._sweep_ns = 0

    @property
    def oldest_ns(self) -> int:
        """Since when events are kept."""
        processes = self._processes.values()
        return self._cut_ns or min((one.facts.info.start_ns for one in processes), default=0)

    @property
    def processes(self) -> Sequence[ProcessInfo]:
        """The processes that are in the window."""
        return [process.facts.info for process in self._processes.values()]

    @property
    def complete_ns(self) -> int:
        """Until when everything has come; now, as far as nobody has said otherwise."""
        running = (one for one in self._processes.values() if one.facts.end is None)
        return min((one.complete_ns for one in running if one.complete_ns), default=self._now())

    def threads_of(self, process: int) -> AbstractSet[int]:
        """The threads of a process that are known: all that have not ended, and perhaps more."""
        found = self._processes.get(process)
        return found.facts.threads.keys() if found is not None else set()

    # ------------------------------------------------------------------ what goes in

    def write(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, SessionInfo):
            self.session = record
        elif isinstance(record, ProcessInfo):
            self._processes[record.process] = _Process(Facts(record, self._alive), deque())
        elif isinstance(record, SourceText):
            self._texts.append(record)
        elif isinstance(record, End):
            self.end = record
        elif record.process in self._processes:
            facts = self._processes[record.process].facts
            facts.add(record, self._now() - self.span_ns)

    def events(self, process: int, runs: Sequence[tuple[int, int]] | U32, events: bytes) -> None:
        """Take events of one process: see `CaptureWriter.events`."""
        owner = self._processes.get(process)
        table = np.array(runs, np.uint32).reshape(-1, 2)
        table = table[table[:, 1] > 0]
        if owner is None or not len(table):
            return
        about = digest(table, words_of(events))
        self.newest_ns = max(self.newest_ns, about.times[1] if about.times else 0)
        self.events_taken += int(table[:, 1].sum())
        block = _Block(table, events, about, self._now(), packed=self._packed)
        owner.blocks.append(block)
        self._order.append(owner)
        self._keep(block)

    def scheduling(self, rows: bytes) -> None:
        """Take what the kernel did with threads: see `CaptureWriter.scheduling`."""
        block = _Packed(rows, self._now(), packed=self._packed)
        self._scheduling.append(block)
        self._keep(block)

    def complete(self, process: int, until_ns: int) -> None:
        """Take note that of one process everything has come that happened up to a time."""
        if process in self._processes:
            self._processes[process].complete_ns = until_ns

    def flush(self) -> None:
        """Nothing: who wants to see it makes a capture."""

    @property
    def _cut_ns(self) -> int:
        return max((process.cut_ns for process in self._processes.values()), default=0)

    def _now(self) -> int:
        return self.newest_ns if self._clock is None else self._clock()

    # ------------------------------------------------------------------ what goes out again

    def _keep(self, block: _Packed) -> None:
        self.bytes_kept += block.size
        self._forget(block.arrived_ns)

    def _forget(self, now: int) -> None:
        """Forget what is too old, or too much."""
        since = now - self.span_ns
        while self._order and self._must_go(self._order[0].blocks[0], since):
            process = self._order.popleft()
            block = process.blocks.popleft()
            process.past = together([process.past, block.digest.past])
            last = block.digest.times[1] if block.digest.times else 0
            process.cut_ns = max(process.cut_ns, min(last, now))  # whatever a damaged event claims
        while self._scheduling and self._must_go(self._scheduling[0], since):
            self._scheduling.popleft()
        if now >= self._sweep_ns:
            self._sweep_ns = now + _SWEEP_NS
            self._sweep(since)

    def _must_go(self, block: _Packed, since: int) -> bool:
        """Whether it is to be dropped; then it is no longer counted."""
        old = block.arrived_ns < since
        if not old and self.bytes_kept <= self._most_bytes:
            return False
        self.full |= not old
        self.bytes_kept -= block.size
        return True

    def _sweep(self, since: int) -> None:
        """Forget processes and threads that have ended and have no events here."""
        for number, process in list(self._processes.items()):
            end = process.facts.end
            if end is not None and end.ts_ns < since and not process.blocks:
                del self._processes[number]
            elif process.facts.has_too_many_threads():
                process.past = process.past.without(process.facts.forget_threads(process.threads))

    # ------------------------------------------------------------------ a capture of it

    def capture(self, *, since_ns: int = 0, until_ns: int | None = None) -> Capture:
        """What is kept, as if recording had begun at ``since_ns`` and ended at ``until_ns``."""
        gatherer = Gatherer()
        cuts = [max(process.cut_ns, since_ns) for process in self._processes.values()]
        late = max(0, min(cuts, default=0) - self.session.started_ns)
        gatherer.write(
            replace(
                self.session,
                started_ns=self.session.started_ns + late,
                started_unix_ns=self.session.started_unix_ns + late,
            )
        )
        self.save(gatherer, since_ns=since_ns, until_ns=until_ns)
        return gatherer.capture()

    def save(
        self,
        sink: CaptureWriter | Gatherer,
        *,
        since_ns: int = 0,
        until_ns: int | None = None,
        sources: Iterable[SourceText] = (),
    ) -> None:
        """Write what is kept, as if recording had begun at ``since_ns`` and ended at ``until_ns``.

        Args:
            sink: where to; it has the session record already.
            since_ns: nothing before it counts.
            until_ns: nor does anything after it; None: now.
            sources: source text to go with it, while the recording goes on.

        Raises:
            OSError: it cannot be written.
        """
        now = self._now()
        self._forget(now)
        until = max((now if until_ns is None else until_ns), self._cut_ns, since_ns)
        for process in self._processes.values():
            self._save(process, max(process.cut_ns, since_ns), until, sink)
        for rows in self._scheduling:
            sink.scheduling(rows.raw())
        for process in self._processes.values():
            for record in process.facts.after_events(since_ns, until):
                sink.write(record)
        for source in (*self._texts, *sources):
            sink.write(source)
        sink.write(self.end or End(until, None, None, GOES_ON))
        sink.flush()

    def _save(
        self, process: _Process, cut_ns: int, until_ns: int, sink: CaptureWriter | Gatherer
    ) -> None:
        """Write what there is of one process between two times: its facts, then its events."""
        facts, number = process.facts, process.facts.info.process
        before, blocks = self._since(process, cut_ns)
        blocks = self._until(blocks, until_ns)
        shown = facts.running() | before.busy()
        shown.update(*(block.digest.threads for block in blocks))
        for record in facts.before_events(cut_ns, until_ns, shown):
            sink.write(record)
        if facts.end is None or facts.end.ts_ns > cut_ns:
            threads, words = before.events(cut_ns, shown)
            sink.events(number, runs_of(threads).tolist(), words.tobytes())
        for block in blocks:
            words = clip_spans(words_of(block.raw()), cut_ns)
            sink.events(number, block.runs.tolist(), words.tobytes())

    def _since(self, process: _Process, cut_ns: int) -> tuple[Past, list[_Block]]:
        """What went before a time, and blocks of what came after it."""
        if not cut_ns:
            return NO_PAST, list(process.blocks)
        begun: set[int] = set()
        gone, kept = [process.past], list[_Block]()
        for block in process.blocks:
            about = block.digest
            first, last = about.times or (cut_ns, cut_ns + 1)
            if last <= cut_ns:
                gone.append(about.past)
                continue
            rest = [block]
            if first <= cut_ns or not about.headless <= begun:
                threads, words = block.columns()
                late = after(cut_ns, threads, words, begun)
                gone.append(past(threads[~late], words[~late]))
                rest = self._part(block, late)
            kept += rest
            begun.update(*(one.digest.threads for one in rest))
        return together(gone), kept

    def _until(self, blocks: list[_Block], until_ns: int) -> list[_Block]:
        """Blocks of what came up to a time."""
        over: set[int] = set()
        kept = []
        for block in blocks:
            about = block.digest
            if about.times and about.times[1] <= until_ns and over.isdisjoint(about.threads):
                kept.append(block)
                continue
            threads, words = block.columns()
            late = after(until_ns, threads, words, over)
            over.update(np.unique(threads[late]).tolist())
            kept += self._part(block, ~late)
        return kept

    def _part(self, block: _Block, these: Bool) -> list[_Block]:
        """A block of some events of one; none if there are none."""
        threads, words = block.columns()
        if not these.any():
            return []
        runs, words = runs_of(threads[these]), words[these]
        about = digest(runs, words)
        return [_Block(runs, words.tobytes(), about, block.arrived_ns, packed=self._packed)]
