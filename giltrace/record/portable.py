"""Draining a process that records itself through the portable back end.

What the target writes is described in `giltrace.runtime.portable_ring`, what it means in
docs/explanation/portable.md.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from giltrace import _core
from giltrace.capture.events import EVENT_SIZE
from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    ThreadInfo,
    ThreadName,
)
from giltrace.record import guarded
from giltrace.record.lnotab import linetable
from giltrace.record.sink import Sink
from giltrace.record.sources import Sources
from giltrace.runtime import portable_ring as ring

BACKEND: Final = "portable"
INFERRED: Final = (
    "hand-offs of this process are inferred from Python function calls (sys.setprofile), "
    "not observed: waits and drop requests cannot be seen, and times are those of calls"
)

_SUFFIX = ".portable"
_SWITCH_START = struct.Struct("<IIQ")  # who lets go, who acquires, when the first let go
_NATIVE_U64 = struct.Struct("@Q")  # stored and loaded in one piece
_FLUSH_NS = 100_000_000
_FLUSH_BYTES = 1 << 20
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.005, 0.05
_LAST_POLLS = 3
_MAX_RING = 1 << 30


def streams(session: Path) -> list[Path]:
    """The rings in a session's folder that nobody has opened yet, the oldest first."""
    with os.scandir(session) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False)
        ]
    return [session / name for name in sorted(names, key=_since)]


def _since(name: str) -> int:
    return guarded.number(name, 1)


class PortableDrain:
    """One process that records itself. The interface is that of `ProcessDrain`.

    Attributes:
        index: its number in the capture.
        pid: its process id.
        events: events taken so far.
        lost_events: events it could not write, so far.
        alive: whether the process still runs.
        pause_s: how long it may be left alone.
    """

    def __init__(self, path: Path, index: int, writer: Sink, sources: Sources) -> None:
        """Map the ring and write the PROCESS and GIL records.

        Args:
            path: the ring.
            index: the number of the process in the capture.
            writer: takes it all.
            sources: learns which source lines the capture needs.

        Raises:
            TypeError, ValueError: it is not a ring.
        """
        self._memory = _map(path)
        self.pid, self.start_ns, self._size, facts = _read_header(self._memory)
        self.index = index
        self.events = 0
        self.lost_events = 0
        self.alive = True
        self.pause_s = _MIN_PAUSE_S
        self._writer = writer
        self._sources = sources
        self._taken = 0
        self._settled = 0
        self._names: dict[int, str] = {}
        self._notes: list[str] = []
        self._end_ns: int | None = None
        self._held_ns = 0
        self._held_since: int | None = None
        self._held: tuple[int, int] = (self.start_ns, 0)
        self._pending: dict[int, list[bytes]] = {}
        self._pending_bytes = 0
        self._flushed_ns = self._polled_ns = time.monotonic_ns()
        self._pidfd = _open_pidfd(self.pid)
        notes = [INFERRED, *facts.pop("notes", [])]
        about = ProcessInfo(
            process=index,
            pid=self.pid,
            start_ns=self.start_ns,
            backend=BACKEND,
            notes=notes,
            **facts,
        )
        writer.write(about)
        sources.meet(about)
        writer.write(GilInfo(index, 0, 0, self.start_ns))

    def poll(self) -> int:
        """Take what is there; returns how many events that was.

        Raises:
            ValueError: what is there makes no sense.
        """
        if self.alive and self._has_ended():
            self.alive = False
        before, bytes_before = self.events, self._taken
        for kind, body in self._records():
            self._take(kind, body)
        self.lost_events = self._number(ring.LOST_AT)
        if _core.is_cut(self._memory.guard):
            raise ValueError("it was cut short")
        now = time.monotonic_ns()
        self.pause_s = self._pause(self._taken - bytes_before, now - self._polled_ns)
        self._polled_ns = now
        if now - self._flushed_ns > _FLUSH_NS or self._pending_bytes > _FLUSH_BYTES:
            self._write_events()
        return self.events - before

    def reclaim(self) -> None:
        """Nothing: threads need no room of their own."""

    def stop(self) -> None:
        """Turn the process's recording off."""
        _NATIVE_U64.pack_into(self._memory, ring.OFF_AT, 1)

    def finish(self, status: str) -> None:
        """Take the rest and write the PROCESS_END record."""
        now = time.monotonic_ns()
        try:
            for _ in range(_LAST_POLLS):
                self.poll()
        except ValueError as error:
            self._notes.append(f"its memory for events is damaged: {error}")
        self._write_events()
        self._writer.write(
            ProcessEnd(self.index, self._end_ns or now, self.lost_events, status, self._notes)
        )
        self._memory.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def give_up(self, why: str) -> None:
        """Write what was taken before this process's memory was damaged."""
        self._write_events()
        now = time.monotonic_ns()
        notes = [*self._notes, why]
        self._writer.write(ProcessEnd(self.index, now, self.lost_events, "damaged", notes))
        self._memory.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def utilisation(self) -> float:
        """Share of the time since the last call that the GIL was held, as far as can be told."""
        now = time.monotonic_ns()
        held = self._held_ns
        if self._held_since is not None:
            held += max(0, now - self._held_since)
        (then, before), self._held = self._held, (now, held)
        return max(0.0, held - before) / max(1, now - then) if self.alive else 0.0

    # ------------------------------------------------------------------ the ring

    def _records(self) -> Iterator[tuple[int, bytes]]:
        """The records that are there for certain; each is given back after its turn."""
        end = self._end_of_settled()
        memory, size = self._memory, self._size
        try:
            while self._taken < end:
                at = self._taken % size
                start = ring.HEADER_BYTES + at
                kind, length = ring.RECORD.unpack_from(memory, start)
                padded = length + -length % 8
                if length < ring.RECORD.size or padded > min(size - at, end - self._taken):
                    raise ValueError(f"a record of {length} bytes at {at}")
                yield kind, memory[start + ring.RECORD.size : start + length]
                self._taken += padded
        finally:
            _NATIVE_U64.pack_into(memory, ring.TAKEN_AT, self._taken)

    def _end_of_settled(self) -> int:
        """Up to where the ring can be read.

        While the target lives that is what it had written at the last visit: by now any processor
        shows us all that came before. When it has ended, that is everything.
        """
        written = self._number(ring.WRITTEN_AT)
        if not self._taken <= written <= self._taken + self._size:
            raise ValueError(f"{written} bytes written, of which {self._taken} were taken")
        settled, self._settled = self._settled, written
        return settled if self.alive else written

    def _number(self, at: int) -> int:
        """A number of the header, which the target may store byte by byte, the lowest first."""
        while (value := _NATIVE_U64.unpack_from(self._memory, at)) != (
            again := _NATIVE_U64.unpack_from(self._memory, at)
        ):
            value = again
        return int(value[0])

    # ------------------------------------------------------------------ its records

    def _take(self, kind: int, body: bytes) -> None:
        try:
            if kind == ring.SWITCH:
                self._take_switch(body)
            elif kind == ring.EVENTS:
                thread, _ = ring.EVENTS_HEAD.unpack_from(body)
                self._take_events(thread, body[ring.EVENTS_HEAD.size :])
            elif kind == ring.THREAD:
                self._take_thread(body)
            elif kind == ring.CODE:
                self._take_code(body)
            elif kind == ring.CALL:
                call, _ = ring.CALL_HEAD.unpack_from(body)
                name = _text(body[ring.CALL_HEAD.size :])
                self._writer.write(CallInfo(self.index, call, name))
            elif kind == ring.NOTE:
                self._notes.append(_text(body))
            elif kind == ring.END:
                (self._end_ns,) = ring.U64.unpack(body)
        except struct.error as error:
            raise ValueError(f"a record of kind {kind}: {error}") from None

    def _take_switch(self, body: bytes) -> None:
        one, other, released = _SWITCH_START.unpack_from(body)
        last = len(body) - EVENT_SIZE
        (acquired,) = ring.U64.unpack_from(body, last)
        if self._held_since is not None:
            self._held_ns += max(0, released - self._held_since)
        self._held_since = acquired
        self._take_events(one, body[ring.SWITCH_HEAD.size : last])
        self._take_events(other, body[last:])

    def _take_events(self, thread: int, events: bytes) -> None:
        size = len(events)
        if thread not in self._pending or size % EVENT_SIZE:
            raise ValueError(f"{size} bytes of events of thread {thread}")
        self._pending[thread].append(events)
        self._pending_bytes += size
        self.events += size // EVENT_SIZE

    def _take_thread(self, body: bytes) -> None:
        thread, _, tid, ts_ns = ring.THREAD_HEAD.unpack_from(body)
        name = _text(body[ring.THREAD_HEAD.size :])
        if thread not in self._names:
            self._writer.write(ThreadInfo(self.index, thread, tid, ts_ns, name))
        elif name != self._names[thread]:
            self._writer.write(ThreadName(self.index, thread, ts_ns, name))
        self._names[thread] = name
        self._pending.setdefault(thread, [])

    def _take_code(self, body: bytes) -> None:
        code, line, *sizes, kind, covers = ring.CODE_HEAD.unpack_from(body)
        filename_end = ring.CODE_HEAD.size + sizes[0]
        qualname_end = filename_end + sizes[1]
        table = body[qualname_end:]
        record = CodeInfo(
            self.index,
            code,
            line,
            _text(body[ring.CODE_HEAD.size : filename_end]),
            _text(body[filename_end:qualname_end]),
            linetable(table, covers) if kind == ring.LNOTAB else table,
        )
        self._writer.write(record)
        self._sources.add(record)

    def _write_events(self) -> None:
        self._flushed_ns = time.monotonic_ns()
        if self._pending_bytes:
            blocks = {t: b"".join(parts) for t, parts in self._pending.items() if parts}
            for parts in self._pending.values():
                parts.clear()
            self._pending_bytes = 0
            runs = [(thread, len(block) // EVENT_SIZE) for thread, block in blocks.items()]
            self._writer.events(self.index, runs, b"".join(blocks.values()))
            self._writer.flush()

    # ------------------------------------------------------------------ the process

    def _pause(self, taken: int, elapsed_ns: int) -> float:
        """Seconds until a tenth of the room will be full again, at the rate just seen."""
        if not taken:
            return _MAX_PAUSE_S
        full_s = self._size / taken * elapsed_ns / 1e9
        return min(_MAX_PAUSE_S, max(_MIN_PAUSE_S, full_s / 10))

    def _has_ended(self) -> bool:
        if self._pidfd is None:
            return not os.path.exists(f"/proc/{self.pid}")
        waiting = select.poll()
        waiting.register(self._pidfd, select.POLLIN)
        return bool(waiting.poll(0))


class _Memory(mmap.mmap):
    """The ring, which the target can cut short at any time."""

    guard = -1

    def close(self) -> None:
        guard, self.guard = self.guard, -1
        _core.unguard(guard)
        super().close()

    def __del__(self) -> None:
        self.close()


def _map(path: Path) -> _Memory:
    try:
        fd = guarded.open_regular(path, os.O_RDWR)
        try:
            memory = _Memory(fd, 0)
            memory.guard = _core.guard(memory)
            return memory
        finally:
            os.close(fd)
    except OSError as error:
        raise ValueError(f"its memory for events cannot be read: {error.strerror}") from None
    finally:
        # From here on the memory goes when target and recorder do, whatever happens to them.
        path.unlink(missing_ok=True)


def _read_header(memory: _Memory) -> tuple[int, int, int, dict[str, Any]]:
    """Process id, time of the start, bytes of the ring, and what the process says about itself.

    Raises:
        TypeError, ValueError: this is none.
    """
    if len(memory) < ring.HEADER_BYTES:
        raise ValueError("its memory for events is too small")
    magic, _, length, pid, start_ns, size = ring.HEADER.unpack_from(memory)
    if magic != ring.MAGIC:
        raise ValueError("another version of giltrace runs in it")
    if _core.is_cut(memory.guard):
        raise ValueError("its memory for events was cut short")
    if size % 8 or not 0 < size <= min(_MAX_RING, len(memory) - ring.HEADER_BYTES):
        raise ValueError(f"its memory for events is damaged: {size} bytes")
    facts = json.loads(memory[ring.INFO_AT : ring.INFO_AT + length])
    return pid, start_ns, size, dict(facts)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError, OverflowError):
        return None
