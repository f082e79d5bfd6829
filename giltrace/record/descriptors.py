"""What the file descriptors are that threads let the GIL go for: addresses, paths, kinds.

A DETAIL event holds a number alone. What it stood for is seen in /proc, soon after, while the
process is running: the link of the descriptor for most, and for sockets the tables of its network
namespace as well. A descriptor that was closed before anyone looked stays a number.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import compress
from typing import Final

from giltrace.capture.events import EVENT_SIZE, FD_MASK, KIND_MASK, PAYLOAD_SHIFT, Kind
from giltrace.capture.records import Descriptor
from giltrace.record.sockets import Sockets

_MAX_FD: Final = 1 << 31
_IS_DETAIL: Final = bytes((value & KIND_MASK) == Kind.DETAIL for value in range(256))

# Reading a link takes about 5 µs: this is at most half a percent of a core, for each process.
_LOOK_NS: Final = 100_000_000
_MOST_LINKS: Final = 100
_MOST_WAITING: Final = 4096
# Two megabytes of capture, for a process that opens a connection for each request.
_MOST_RECORDS: Final = 20_000

_KERNEL_OBJECT: Final = re.compile(r"(?:anon_inode:\[?|)([\w-]+)(?:\]|:\[\d+\]|)")
_NAMES: Final = {"eventpoll": "epoll"}
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_LONGEST: Final = 500


def fds_in(events: bytes) -> set[int]:
    """The descriptors that the DETAIL events in a block of events name.

    Takes 0.2 ms for 1 MB without such events, and 3 ms where every third is one.
    """
    # Slicing bytes costs next to nothing; an int is made for each DETAIL, not for each event.
    kinds = events[8::EVENT_SIZE].translate(_IS_DETAIL)
    if 1 not in kinds:
        return set()
    whole = len(events) // EVENT_SIZE * EVENT_SIZE
    words = memoryview(events)[:whole].cast("Q")[1::2]
    fds = {word >> PAYLOAD_SHIFT & FD_MASK for word in set(compress(words, kinds))}
    return {fd for fd in fds if fd < _MAX_FD}


class Descriptors:
    """The descriptors of one process.

    A number is looked at again from time to time while it is in use, because numbers are used
    again: what is behind it is told anew each time it has changed.
    """

    def __init__(
        self, process: int, pid: int, start_ns: int, sockets: Sockets, *, lasting: bool = True
    ) -> None:
        """Know nothing yet.

        Args:
            process: its index in the capture.
            pid: its process id.
            start_ns: when its events begin.
            sockets: shared by all processes of the recording.
            lasting: what is told is kept for ever, so that there has to be an end to it.
        """
        self._process = process
        self._pid = pid
        self._sockets = sockets
        self._told = 0
        self._most = _MOST_RECORDS if lasting else sys.maxsize
        self._looked_ns = start_ns
        self._next_ns = 0
        self._waiting: dict[int, int] = {}  # fd -> since when it may be what it is now
        self._links: dict[int, str] = {}
        self._unknown: dict[int, tuple[int, int]] = {}  # fd -> (inode, since_ns)

    def update(self, events: bytes, now_ns: int) -> list[Descriptor]:
        """Take note of a block of events; returns what has become known, mostly nothing.

        A record's ``ts_ns`` is the last time that the process's descriptors were looked at before
        the event that named it: all its events since then mean this one.

        Args:
            events: a block as it came from the arena.
            now_ns: the time on CLOCK_MONOTONIC.
        """
        if self._told >= self._most:
            return []
        for fd in fds_in(events):
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.setdefault(fd, self._looked_ns)
        if now_ns < self._next_ns or not (self._waiting or self._unknown):
            return []
        self._next_ns = now_ns + _LOOK_NS
        told = self._look()
        self._looked_ns = now_ns
        found = self._sockets.find(self._pid, {i for i, _ in self._unknown.values()}, now_ns)
        told += self._name(found)
        return self._tell(told)

    def rest(self) -> list[Descriptor]:
        """At the end: what is still unknown is a socket of some kind."""
        told = self._name({inode: "socket" for inode, _ in self._unknown.values()})
        return self._tell(told)

    def _tell(self, told: list[Descriptor]) -> list[Descriptor]:
        told = told[: self._most - self._told]
        self._told += len(told)
        return told

    def _look(self) -> list[Descriptor]:
        """Read links, first of those that have not been read yet."""
        told = []
        turn = sorted(self._waiting, key=self._links.__contains__)[:_MOST_LINKS]
        for fd in turn:
            since_ns = self._waiting.pop(fd)
            link = _link(self._pid, fd)
            if link is None or link == self._links.get(fd):
                continue
            self._links[fd] = link
            if before := self._unknown.pop(fd, None):
                told.append(self._record(fd, before[1], "socket"))
            if match := _SOCKET.fullmatch(link):
                self._unknown[fd] = (int(match[1]), since_ns)
            else:
                told.append(self._record(fd, since_ns, describe(link)))
        return told

    def _name(self, found: dict[int, str]) -> list[Descriptor]:
        named = {fd: row for fd, row in self._unknown.items() if row[0] in found}
        for fd in named:
            del self._unknown[fd]
        return [self._record(fd, since, found[inode]) for fd, (inode, since) in named.items()]

    def _record(self, fd: int, ts_ns: int, what: str) -> Descriptor:
        return Descriptor(self._process, fd, ts_ns, what)


def describe(link: str) -> str:
    """What the link of a descriptor says, if it is no socket: a path, ``pipe``, ``eventfd``."""
    if not link.startswith("/") and (match := _KERNEL_OBJECT.fullmatch(link)):
        return _NAMES.get(match[1], match[1])
    if len(link) <= _LONGEST:
        return link
    return f"{link[: _LONGEST // 2]}…{link[-_LONGEST // 2 + 1 :]}"


def _link(pid: int, fd: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:  # closed by now, or the process has ended or is none of ours
        return None
