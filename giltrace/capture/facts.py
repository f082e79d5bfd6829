"""What is known about one process of a window, besides its events: each fact once, as of now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final, TypeAlias

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

Alive: TypeAlias = Callable[[ProcessInfo, ThreadInfo], bool]
"""Whether a thread of a process that has not ended still runs."""

# It is asked which of so many threads are gone, and again when there are twice as many.
_MANY_THREADS: Final = 4096
_MOST_DESCRIPTORS: Final = 100_000


class Facts:
    """The records of one process.

    Attributes:
        info: the process.
        end: how it ended; None: it has not.
        threads: those that may still run or have events in the window.
    """

    def __init__(self, info: ProcessInfo, alive: Alive) -> None:
        self.info = info
        self._alive = alive
        self.end: ProcessEnd | None = None
        self.threads: dict[int, ThreadInfo] = {}
        self._names: dict[int, ThreadName] = {}
        # GILs, switch intervals, code objects and calls: there are only so many of each.
        self._latest: dict[tuple[type, int], Record] = {}
        self._descriptors: dict[int, list[Descriptor]] = {}
        self._samples: deque[Sample] = deque()
        self._look_at = _MANY_THREADS

    def add(self, record: Record, since_ns: int) -> None:
        """Take a record; what only mattered before ``since_ns`` may go."""
        match record:
            case ThreadInfo():
                self.threads[record.thread] = record
            case ThreadName():
                self._names[record.thread] = record
            case GilInfo() | SwitchInterval():
                self._latest[type(record), record.gil] = record
            case CodeInfo():
                self._latest[CodeInfo, record.code] = record
            case CallInfo():
                self._latest[CallInfo, record.call] = record
            case Descriptor():
                self._describe(record, since_ns)
            case Sample():
                self._samples.append(record)
                while self._samples[0].ts_ns < since_ns:
                    self._samples.popleft()
            case ProcessEnd():
                self.end = record
            case ProcessInfo() | SessionInfo() | SourceText() | End():
                raise TypeError(f"a {type(record).__name__} is no fact about a process")

    def _describe(self, record: Descriptor, since_ns: int) -> None:
        if record.fd in self._descriptors or len(self._descriptors) < _MOST_DESCRIPTORS:
            told = self._descriptors.setdefault(record.fd, [])
            told.append(record)
            while len(told) > 1 and told[1].ts_ns < since_ns:
                del told[0]

    def has_too_many_threads(self) -> bool:
        """Whether it is time to `forget_threads`."""
        return len(self.threads) >= self._look_at

    def forget_threads(self, needed: AbstractSet[int]) -> set[int]:
        """Forget threads that have ended, unless they are needed; returns which."""
        gone = self.threads.keys() - self.running() - needed
        for thread in gone:
            del self.threads[thread]
            self._names.pop(thread, None)
        self._look_at = max(_MANY_THREADS, 2 * len(self.threads))
        return gone

    def running(self) -> set[int]:
        """The threads that still run."""
        if self.end is not None:
            return set()
        return {one for one, info in self.threads.items() if self._alive(self.info, info)}

    def before_events(
        self, start_ns: int, until_ns: int, shown: AbstractSet[int]
    ) -> Iterator[Record]:
        """What a capture of a stretch of time has to say before the events.

        Args:
            start_ns: when it begins: no record claims anything earlier.
            until_ns: when it ends.
            shown: the threads that are in it.
        """
        latest_ns = start_ns if self.end is None else min(start_ns, self.end.ts_ns)
        yield replace(self.info, start_ns=max(latest_ns, self.info.start_ns))
        for thread, info in self.threads.items():
            if thread in shown and info.start_ns <= until_ns:
                yield replace(info, start_ns=max(start_ns, info.start_ns))
                if name := self._names.get(thread):
                    yield replace(name, ts_ns=min(until_ns, max(start_ns, name.ts_ns)))
        yield from self._latest.values()
        for told in self._descriptors.values():
            yield from told

    def after_events(self, start_ns: int, until_ns: int) -> Iterator[Record]:
        """What one that ends at ``until_ns`` has to say after them."""
        for sample in self._samples:
            if start_ns <= sample.ts_ns <= until_ns:
                yield sample
        yield self.end or ProcessEnd(self.info.process, until_ns, 0, "left running")
