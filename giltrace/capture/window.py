"""The last seconds of a recording, at bounded memory, at any time a whole capture.

A `Window` takes what a `CaptureWriter` takes and keeps what is recent: the newest events as they
came, and of those that have become too old only what each thread was doing last. So a capture that
begins in the middle of a recording knows who holds the GIL, who waits, and who is off the GIL in
which call, from its first moment on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import (
    FLAG_SYNTHETIC,
    FLAGS_SHIFT,
    GIL_MASK,
    GIL_SHIFT,
    KIND_MASK,
    PAYLOAD_SHIFT,
    Kind,
)
from giltrace.capture.reader import U32, U64, Capture, Events, Loss
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
from giltrace.capture.writer import CaptureWriter

I8: TypeAlias = npt.NDArray[np.int64]

MOST_BYTES: Final = 256 << 20
"""Memory for events, unless told otherwise: 16 million of them."""

# Of threads that have not done anything for so long that all their events are gone, so many are
# remembered; more than a program has that does not make one for each request.
_MOST_QUIET: Final = 4096
_MOST_PER_KIND: Final = 100_000
_NOTHING: Final[U64] = np.zeros((0, 2), np.uint64)
# What a thread does shows in these; those after them tell more about one of them.
_STATES: Final = (Kind.ACQUIRE, Kind.RELEASE, Kind.WAIT)
_DETAILS: Final = (Kind.FRAME, Kind.DETAIL)


@dataclass(frozen=True, slots=True)
class _Doing:
    """What a thread was doing last: its last acquire, and what came after it and still counts."""

    acquire: U64  # [0 or 1, 2]
    rest: U64  # [n, 2]: the WAIT or RELEASE that it was in, with its details

    @property
    def is_release(self) -> bool:
        """Whether it was off the GIL."""
        return bool(len(self.rest) and self.rest[0, 1] & np.uint64(KIND_MASK) == Kind.RELEASE)

    def words(self, cut_ns: int) -> U64:
        """Events that say so, as if recording had begun at ``cut_ns``."""
        words = np.concatenate((self.acquire, self.rest))
        kind = words[:, 1] & np.uint64(KIND_MASK)
        timed = ~np.isin(kind, _DETAILS)
        words[timed, 0] = np.maximum(words[timed, 0], np.uint64(cut_ns))
        words[kind == Kind.ACQUIRE, 1] |= np.uint64(FLAG_SYNTHETIC << FLAGS_SHIFT)
        return words


@dataclass(frozen=True, slots=True)
class _Frame:
    process: int
    threads: U32
    words: U64
    oldest_ns: int
    newest_ns: int
    doing: dict[int, _Doing]
    priorities: dict[int, U64]  # [1, 2]: the last PRIORITY of each thread that has one


@dataclass(slots=True)
class _Kept:
    """What is kept of a process beside its events."""

    info: ProcessInfo
    end: ProcessEnd | None = None
    threads: dict[int, ThreadInfo] = field(default_factory=dict)
    names: dict[int, ThreadName] = field(default_factory=dict)
    records: dict[Any, Record] = field(default_factory=dict)
    doing: dict[int, _Doing] = field(default_factory=dict)
    priorities: dict[int, U64] = field(default_factory=dict)
    cut_ns: int = 0


class Window:
    """Keeps the last seconds. Not thread-safe.

    Attributes:
        session: the first record.
        newest_ns: the time of the newest event; 0 if there is none.
        events_taken: all events that ever came.
        bytes_kept: memory that the kept events take.
        end: the record that the recording has ended with, if it has.
    """

    def __init__(
        self, session: SessionInfo, *, seconds: float, most_bytes: int = MOST_BYTES
    ) -> None:
        """Keep events of the last ``seconds``, and at most ``most_bytes`` of them."""
        self.session = session
        self.newest_ns = 0
        self.events_taken = 0
        self.bytes_kept = 0
        self.end: End | None = None
        self._keep_ns = round(seconds * 1e9)
        self._most_bytes = most_bytes
        self._processes: dict[int, _Kept] = {}
        self._frames: deque[_Frame] = deque()
        self._samples: deque[Sample] = deque()
        self._sources: list[SourceText] = []

    @property
    def bytes_written(self) -> int:
        """As of a `CaptureWriter`: what is kept."""
        return self.bytes_kept

    @property
    def oldest_ns(self) -> int:
        """Since when events are kept."""
        return max((kept.cut_ns for kept in self._processes.values()), default=0) or min(
            (kept.info.start_ns for kept in self._processes.values()), default=0
        )

    @property
    def processes(self) -> Sequence[ProcessInfo]:
        """The processes that are in the window."""
        return [kept.info for kept in self._processes.values()]

    def write(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, ProcessInfo):
            self._processes[record.process] = _Kept(record)
        elif isinstance(record, End):
            self.end = record
        elif isinstance(record, SourceText):
            self._sources.append(record)
        elif isinstance(record, Sample):
            self._samples.append(record)
        elif not isinstance(record, SessionInfo) and record.process in self._processes:
            self._keep(self._processes[record.process], record)

    def events(
        self, process: int, runs: Sequence[tuple[int, int]], events: bytes | memoryview
    ) -> None:
        """Take events of one process: see `CaptureWriter.events`."""
        words = np.frombuffer(events, "<u8").reshape(-1, 2)
        table = np.array(runs, np.uint32).reshape(-1, 2)
        self.take(process, np.repeat(table[:, 0], table[:, 1]), words)

    def take(self, process: int, threads: U32, words: U64) -> None:
        """The same, as columns: the thread of each event, and its two words."""
        if not len(words):
            return
        kept = self._processes.get(process)
        if kept is None:
            return
        frame = _frame(process, threads, words, self.newest_ns)
        self._frames.append(frame)
        self.newest_ns = max(self.newest_ns, frame.newest_ns)
        self.events_taken += len(words)
        self.bytes_kept += words.nbytes
        self._drop()

    def flush(self) -> None:
        """As of a `CaptureWriter`: there is nothing to hand over."""

    def capture(self, *, since_ns: int = 0, until_ns: int | None = None) -> Capture:
        """What is kept, as if recording had begun at ``since_ns`` and ended at ``until_ns``."""
        until = self.newest_ns if until_ns is None else until_ns
        doing = {number: dict(kept.doing) for number, kept in self._processes.items()}
        priorities = {number: dict(kept.priorities) for number, kept in self._processes.items()}
        cuts = {number: max(kept.cut_ns, since_ns) for number, kept in self._processes.items()}
        frames: dict[int, list[_Frame]] = {number: [] for number in self._processes}
        for frame in self._frames:
            for part in _split(frame, cuts[frame.process]):
                if part.newest_ns <= cuts[frame.process]:
                    _go_on(doing[frame.process], part.doing)
                    priorities[frame.process].update(part.priorities)
                else:
                    frames[frame.process].append(part)
        started = max(self.session.started_ns, min(cuts.values(), default=0))
        late = started - self.session.started_ns
        capture = Capture(
            replace(
                self.session,
                started_ns=started,
                started_unix_ns=self.session.started_unix_ns + late,
            ),
            samples=[one for one in self._samples if one.ts_ns >= since_ns],
            sources=list(self._sources),
            loss=Loss(ended=True),
            end=self.end or End(until, None, None, "the last seconds were kept"),
        )
        for number, kept in self._processes.items():
            self._add(capture, kept, cuts[number], until)
            before: list[tuple[int, U64]] = []
            if cuts[number]:
                before = _before(doing[number], priorities[number], cuts[number])
            events = _columns(before, frames[number])
            if len(events):
                capture.events[number] = events
        return capture

    def _add(self, capture: Capture, kept: _Kept, cut_ns: int, until_ns: int) -> None:
        info = kept.info
        capture.processes.append(replace(info, start_ns=max(info.start_ns, cut_ns)))
        capture.process_ends.append(
            kept.end or ProcessEnd(info.process, until_ns, 0, "being recorded")
        )
        capture.threads += kept.threads.values()
        capture.thread_names += kept.names.values()
        lists: dict[type[Record], list[Any]] = {
            GilInfo: capture.gils,
            CodeInfo: capture.codes,
            CallInfo: capture.calls,
            SwitchInterval: capture.switch_intervals,
            Descriptor: capture.descriptors,
        }
        for record in kept.records.values():
            lists[type(record)].append(record)

    def _keep(self, kept: _Kept, record: Record) -> None:
        match record:
            case ThreadInfo():
                kept.threads[record.thread] = record
            case ThreadName():
                kept.names[record.thread] = record
            case ProcessEnd():
                kept.end = record
            case GilInfo():
                kept.records["gil", record.gil] = record
            case CodeInfo():
                kept.records["code", record.code] = record
            case CallInfo():
                kept.records["call", record.call] = record
            case SwitchInterval():  # the latest
                kept.records["interval", record.gil] = record
            case Descriptor():
                kept.records.pop(("fd", record.fd), None)
                if len(kept.records) < _MOST_PER_KIND:
                    kept.records["fd", record.fd] = record

    def _drop(self) -> None:
        """Forget what is too old, or too much."""
        oldest = self.newest_ns - self._keep_ns
        while len(self._frames) > 1 and (
            self._frames[0].newest_ns < oldest or self.bytes_kept > self._most_bytes
        ):
            frame = self._frames.popleft()
            self.bytes_kept -= frame.words.nbytes
            kept = self._processes.get(frame.process)
            if kept is not None:
                _go_on(kept.doing, frame.doing)
                kept.priorities.update(frame.priorities)
                kept.cut_ns = max(kept.cut_ns, frame.newest_ns)
                if len(kept.threads) > _MOST_QUIET:
                    self._forget_quiet(frame.process, kept)
        while self._samples and self._samples[0].ts_ns < oldest:
            self._samples.popleft()
        for number, kept in list(self._processes.items()):
            if kept.end is not None and kept.end.ts_ns < oldest:
                del self._processes[number]
                gone = [frame for frame in self._frames if frame.process == number]
                self.bytes_kept -= sum(frame.words.nbytes for frame in gone)
                self._frames = deque(f for f in self._frames if f.process != number)

    def _forget_quiet(self, process: int, kept: _Kept) -> None:
        """Forget threads of which no event is left, all but the ones that came last."""
        loud = {thread for f in self._frames if f.process == process for thread in f.doing}
        quiet = [thread for thread in kept.threads if thread not in loud]
        for thread in quiet[: max(0, len(kept.threads) - _MOST_QUIET // 2)]:
            del kept.threads[thread]
            kept.names.pop(thread, None)
            kept.doing.pop(thread, None)
            kept.priorities.pop(thread, None)


def rewrite(file: BinaryIO, capture: Capture, sources: Iterable[SourceText] = ()) -> int:
    """Write a capture that is in memory to a file; returns its size.

    Args:
        file: open for binary writing, at its start.
        capture: what to write.
        sources: more source text.

    Raises:
        OSError: it cannot be written.
    """
    writer = CaptureWriter(file, capture.session)
    records: list[Record] = [
        *capture.processes,
        *capture.gils,
        *capture.threads,
        *capture.thread_names,
        *capture.codes,
        *capture.calls,
        *capture.switch_intervals,
        *capture.descriptors,
        *capture.samples,
    ]
    for record in records:
        writer.write(record)
    for process, events in capture.events.items():
        starts = np.flatnonzero(np.diff(events.thread, prepend=events.thread[:1] + 1))
        counts = np.diff(starts, append=len(events))
        runs = list(zip(events.thread[starts].tolist(), counts.tolist(), strict=True))
        words = np.stack((events.ts, events.data), axis=1)
        writer.events(process, runs, words.tobytes())
    records = [*capture.process_ends, *capture.sources, *sources]
    for record in records:
        writer.write(record)
    if capture.end is not None:
        writer.write(capture.end)
    writer.flush()
    return writer.bytes_written


def _frame(process: int, threads: U32, words: U64, before_ns: int) -> _Frame:
    """Some events, with what each of their threads does after them."""
    kind = words[:, 1] & np.uint64(KIND_MASK)
    state = np.isin(kind, _STATES)
    times = words[state, 0]
    oldest, newest = (int(times.min()), int(times.max())) if len(times) else (before_ns, before_ns)
    doing = {}
    for mine in _by_thread(threads):
        found = _doing(words[mine], kind[mine], state[mine])
        if found is not None:
            doing[int(threads[mine[0]])] = found
    changes = np.flatnonzero(kind == Kind.PRIORITY)
    last = {int(threads[at]): words[at : at + 1] for at in changes.tolist()}
    return _Frame(process, threads, words, oldest, newest, doing, last)


def _by_thread(threads: U32) -> list[I8]:
    """Where the events of each thread are."""
    order = np.argsort(threads, kind="stable")
    first = np.flatnonzero(np.diff(threads[order], prepend=threads[order[:1]] + np.uint32(1)))
    return np.split(order, first[1:])


def _split(frame: _Frame, cut_ns: int) -> Iterator[_Frame]:
    """The events of a frame up to a time, and those after it.

    Threads are drained one after the other, so of two frames the second may hold some that are
    older than the newest of the first.
    """
    if frame.oldest_ns > cut_ns or frame.newest_ns <= cut_ns:
        yield frame
        return
    late = np.zeros(len(frame.words), np.bool_)
    state = np.isin(frame.words[:, 1] & np.uint64(KIND_MASK), _STATES)
    after = state & (frame.words[:, 0] > np.uint64(cut_ns))
    for mine in _by_thread(frame.threads):
        # What is not a state belongs to the one before it; times ascend.
        late[mine] = np.maximum.accumulate(after[mine])
    for some in (~late, late):
        yield _frame(frame.process, frame.threads[some], frame.words[some], cut_ns)


def _doing(words: U64, kind: U64, state: npt.NDArray[np.bool_]) -> _Doing | None:
    """What a thread does after some events of its; None if they do not say."""
    states = np.flatnonzero(state)
    if not len(states):
        return None
    last = int(states[-1])
    acquires = np.flatnonzero(kind == Kind.ACQUIRE)
    acquire = words[acquires[-1:]] if len(acquires) else _NOTHING
    if kind[last] == Kind.ACQUIRE:
        return _Doing(acquire, _NOTHING)
    if kind[last] == Kind.WAIT:
        return _Doing(_NOTHING, words[last : last + 1])
    details = np.flatnonzero(~np.isin(kind[last + 1 :], _DETAILS))
    end = last + 1 + int(details[0]) if len(details) else len(words)
    return _Doing(acquire, words[last:end])


def _go_on(doing: dict[int, _Doing], later: dict[int, _Doing]) -> None:
    """Bring what threads were doing up to date."""
    for thread, one in later.items():
        if not len(one.acquire) and one.is_release:
            before = doing.get(thread)
            if before is None or not len(before.acquire):
                continue  # a release of what was never seen to be acquired
            doing[thread] = _Doing(before.acquire, one.rest)
        else:
            doing[thread] = one


def _before(
    doing: dict[int, _Doing], priorities: dict[int, U64], cut_ns: int
) -> list[tuple[int, U64]]:
    """Events of threads that say what they were doing at a cut, and what priority they had."""
    before = [(thread, one.words(cut_ns)) for thread, one in doing.items()]
    for thread, change in priorities.items():
        before.append((thread, np.array([[cut_ns, change[0, 1]]], np.uint64)))
    return before


def _columns(before: list[tuple[int, U64]], frames: Sequence[_Frame]) -> Events:
    """Some events of threads, then all events of some frames."""
    words = [frame.words for frame in frames]
    threads = [frame.threads for frame in frames]
    if before:
        first = np.concatenate([some for _, some in before])
        _number(first)
        words.insert(0, first)
        counts = [len(some) for _, some in before]
        threads.insert(0, np.repeat(np.array([one for one, _ in before], np.uint32), counts))
    if not words:
        return Events(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.uint32))
    table = np.concatenate(words)
    return Events(
        np.ascontiguousarray(table[:, 0]),
        np.ascontiguousarray(table[:, 1]),
        np.concatenate(threads),
    )


def _number(first: U64) -> None:
    """Number the tenures at the cut so that none is missing between them and the later ones."""
    acquires = np.flatnonzero(first[:, 1] & np.uint64(KIND_MASK) == Kind.ACQUIRE)
    data = first[acquires, 1]
    tenure = data >> np.uint64(PAYLOAD_SHIFT)
    gil = data >> np.uint64(GIL_SHIFT) & np.uint64(GIL_MASK)
    for one in np.unique(gil).tolist():
        mine = acquires[gil == one]
        mine = mine[np.argsort(tenure[gil == one], kind="stable")]
        last = int(tenure[gil == one].max())
        numbers = np.arange(max(1, last - len(mine) + 1), last + 1, dtype=np.uint64)[-len(mine) :]
        low = np.uint64((1 << PAYLOAD_SHIFT) - 1)
        kept = mine[len(mine) - len(numbers) :]
        first[kept, 1] = first[kept, 1] & low | numbers << np.uint64(PAYLOAD_SHIFT)
