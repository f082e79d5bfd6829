"""Draining one target process: from its arena into records and events of the capture."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from giltrace._core import ArenaReader
from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)
from giltrace.errors import GiltraceError
from giltrace.record.descriptors import Descriptors

if TYPE_CHECKING:
    from giltrace._core import Totals
    from giltrace.record.sink import Sink
    from giltrace.record.sockets import Sockets
    from giltrace.record.sources import Sources

# An EVENTS frame at most this often, or at this size: larger ones compress and read better,
# more frequent ones lose less when the recorder is killed.
_FLUSH_NS = 100_000_000
_FLUSH_BYTES = 1 << 20
# New processes and threads want to be noticed soon, too.
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.005, 0.05
# One takes all a process that has ended can have left; a second, what it wrote meanwhile.
_LAST_POLLS = 3


class ProcessDrain:
    """One recorded process.

    Attributes:
        index: its number in the capture.
        pid: its process id.
        events: events taken so far.
        lost_events: events it could not write, so far.
        alive: whether the process still runs.
        pause_s: how long it may be left alone.
    """

    def __init__(
        self, path: Path, index: int, writer: Sink, sources: Sources, sockets: Sockets
    ) -> None:
        """Map the arena and write the PROCESS record.

        Args:
            path: the arena.
            index: the number of the process in the capture.
            writer: takes it all.
            sources: learns which source lines the capture needs.
            sockets: finds out what sockets are.

        Raises:
            BlockingIOError: it is not ready yet.
            OSError, ValueError: it is not an arena.
        """
        self._reader = _map(path, path.parent.stat().st_uid)
        # From here on the memory goes when target and recorder do, whatever happens to them.
        path.unlink()
        self._writer = writer
        self.index = index
        self.pid, self.start_ns, info = self._reader.info
        self.events = 0
        self.lost_events = 0
        self.alive = True
        self.pause_s = _MIN_PAUSE_S
        self._lost_by_ended = 0
        self._threads: dict[int, int] = {}  # slot -> thread index
        self._slots: dict[int, tuple[int, int]] = {}  # slot -> (tid, start_ns)
        self._unnamed: set[int] = set()
        self._wrote: set[int] = set()
        self._next_thread = 0
        self._gils: set[int] = set()
        self._intervals: dict[int, int] = {}
        self._held: tuple[int, int] = (self.start_ns, 0)
        self._pending: list[bytes] = []
        self._runs: list[tuple[int, int]] = []
        self._flushed_ns = self._polled_ns = time.monotonic_ns()
        self._pidfd = _open_pidfd(self.pid)
        facts: dict[str, Any] = json.loads(info)
        about = ProcessInfo(process=index, pid=self.pid, start_ns=self.start_ns, notes=[], **facts)
        writer.write(about)
        sources.meet(about)
        self._sources = sources
        self._descriptors = Descriptors(
            index, self.pid, self.start_ns, sockets, lasting=writer.lasting
        )

    def poll(self) -> int:
        """Take what is there; returns how many events that was."""
        if self.alive and self._has_ended():
            self.alive = False
        started, taken = time.monotonic_ns(), 0
        while taken < self._reader.capacity:  # the rest has come meanwhile
            batch = self._take()
            taken += batch
            if batch < self._reader.batch:
                break
        # Each thread had its turn; those that had it late may have told more than others. Where
        # more comes than there is room for nothing is ever complete, and this is as good as it
        # gets: who waits for it waits no longer.
        if not self._pending:
            self._writer.complete(self.index, started)
        now = time.monotonic_ns()
        self.pause_s = self._pause(taken, now - self._polled_ns)
        self._polled_ns = now
        return taken

    def _take(self) -> int:
        """Take a batch: so memory stays the same however far behind this is."""
        runs, events = self._reader.drain()
        # In this order: a run's thread and code are told before the run is written.
        self._take_gils()
        self._take_threads()
        self._take_codes()
        if runs:
            self._wrote.update(slot for slot, _ in runs)
            self._runs += [(self._threads[slot], count) for slot, count in runs]
            self._pending.append(events)
        taken = sum(count for _, count in runs)
        self.events += taken
        now = time.monotonic_ns()
        for descriptor in self._descriptors.update(events, now):
            self._writer.write(descriptor)
        if now - self._flushed_ns > _FLUSH_NS or sum(map(len, self._pending)) > _FLUSH_BYTES:
            self._write_events()
        return taken

    def _pause(self, taken: int, elapsed_ns: int) -> float:
        """Seconds until a tenth of the room will be full again, at the rate just seen.

        Each visit takes a core away from the target for a moment, so they should be few.
        """
        if not taken:
            return _MAX_PAUSE_S
        full_s = self._reader.capacity / taken * elapsed_ns / 1e9
        return min(_MAX_PAUSE_S, max(_MIN_PAUSE_S, full_s / 10))

    def utilisation(self) -> float:
        """Share of the time since the last call that a GIL was held; 0 to the number of GILs."""
        now = time.monotonic_ns()
        held = sum(row[5] + (max(0, now - row[6]) if row[6] else 0) for row in self._reader.gils())
        (then, before), self._held = self._held, (now, held)
        return max(0.0, held - before) / max(1, now - then) if self.alive else 0.0

    def reclaim(self) -> None:
        """Give back the slots of threads that have ended."""
        self.lost_events = self._reader.totals()["lost_events"] + self._lost_by_ended
        tids = _tids(self.pid)
        if self.pid not in tids:
            return  # gone, or numbered otherwise than we see it (a PID namespace)
        latest: dict[int, int] = {}
        for slot, (tid, start_ns) in self._slots.items():
            # One that has not written may be a name that came a moment too late for its thread.
            if slot in self._wrote:
                latest[tid] = max(start_ns, latest.get(tid, 0))
        for slot, (tid, start_ns) in list(self._slots.items()):
            alive = tid in tids or os.path.exists(f"/proc/{self.pid}/task/{tid}")
            if alive and start_ns >= latest.get(tid, 0):
                continue
            lost = self._reader.free(slot)
            if lost is not None:
                self._lost_by_ended += lost
                self._unnamed.discard(slot)
                self._wrote.discard(slot)
                del self._threads[slot], self._slots[slot]

    def stop(self) -> None:
        """Turn the process's recording off."""
        self._reader.switch(False)

    def wish(self, tid: int, priority: int) -> None:
        """Ask the process to give one of its threads a priority.

        Raises:
            GiltraceError: it cannot.
        """
        if not self._reader.policy:
            raise GiltraceError(
                f"process {self.pid} follows no policy, so priorities would change nothing",
                "Look at it under one: giltrace live --policy auto …",
            )
        born = _born(self.pid, tid)
        if not born:
            raise GiltraceError(f"process {self.pid} has no thread {tid} any more")
        if not self._reader.wish(tid, born, priority):
            raise GiltraceError(
                f"process {self.pid} has not come to take its GIL since it was asked before"
            )

    def finish(self, status: str) -> None:
        """Take the rest and write the PROCESS_END record."""
        now = time.monotonic_ns()
        for _ in range(_LAST_POLLS):
            if not self.poll():
                break
        self._take_gils(last=True)
        self._write_events()
        for descriptor in self._descriptors.rest():
            self._writer.write(descriptor)
        totals = self._reader.totals()
        self.lost_events = totals["lost_events"] + self._lost_by_ended
        self._writer.write(
            ProcessEnd(
                process=self.index,
                ts_ns=totals["stop_ns"] or now,
                lost_events=self.lost_events,
                status=status,
                notes=_notes(totals),
            )
        )
        self._reader.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def give_up(self, why: str) -> None:
        """Write what was taken before this process's memory was damaged."""
        self._write_events()
        now = time.monotonic_ns()
        self._writer.write(ProcessEnd(self.index, now, self.lost_events, "damaged", [why]))
        self._reader.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _has_ended(self) -> bool:
        if self._pidfd is None:
            return not os.path.exists(f"/proc/{self.pid}")
        waiting = select.poll()
        waiting.register(self._pidfd, select.POLLIN)
        return bool(waiting.poll(0))

    def _take_gils(self, *, last: bool = False) -> None:
        for index, created_ns, interval_us, interpreter, *_ in self._reader.gils():
            # Whose GIL it is shows only when it is first let go.
            if index not in self._gils and (interpreter >= 0 or last):
                self._gils.add(index)
                self._writer.write(GilInfo(self.index, index, max(0, interpreter), created_ns))
            if interval_us and interval_us != self._intervals.get(index):
                self._intervals[index] = interval_us
                self._writer.write(
                    SwitchInterval(self.index, index, time.monotonic_ns(), interval_us * 1000)
                )

    def _take_threads(self) -> None:
        if self._unnamed:
            self._name_after_kernel()
        for slot, _, tid, start_ns, raw in self._reader.threads():
            name = raw.decode("utf-8", "replace")
            if self._slots.get(slot) == (tid, start_ns):
                self._rename(slot, name)
                continue
            self._threads[slot] = thread = self._next_thread
            self._slots[slot] = (tid, start_ns)
            self._next_thread += 1
            self._writer.write(ThreadInfo(self.index, thread, tid, start_ns, name))
            if not name:
                self._unnamed.add(slot)

    def _rename(self, slot: int, name: str) -> None:
        self._unnamed.discard(slot)
        thread = self._threads[slot]
        self._writer.write(ThreadName(self.index, thread, time.monotonic_ns(), name))

    def _name_after_kernel(self) -> None:
        """Threads that `threading` does not know by now get the name the kernel has."""
        process = _comm(self.pid, self.pid)
        for slot in list(self._unnamed):
            tid = self._slots[slot][0]
            comm = _comm(self.pid, tid)
            self._rename(slot, comm if comm and comm != process else f"native-{tid}")

    def _take_codes(self) -> None:
        for is_call, code, line, filename, qualname, linetable in self._reader.codes():
            if is_call:
                self._writer.write(CallInfo(self.index, code, qualname.decode("utf-8", "replace")))
                continue
            record = CodeInfo(
                self.index,
                code,
                line,
                filename.decode("utf-8", "surrogatepass"),
                qualname.decode("utf-8", "surrogatepass"),
                linetable,
            )
            self._writer.write(record)
            self._sources.add(record)

    def _write_events(self) -> None:
        self._flushed_ns = time.monotonic_ns()
        if self._pending:
            runs, events = self._runs, b"".join(self._pending)
            self._runs, self._pending = [], []
            self._writer.events(self.index, runs, events)
            self._writer.flush()


def _map(path: Path, *owner: int) -> ArenaReader:
    try:
        return ArenaReader(path, *owner)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        raise
    except OSError as error:  # a link, or worse
        raise ValueError(f"its memory for events cannot be read: {error.strerror}") from None


def _notes(totals: Totals) -> list[str]:
    notes = []
    if totals["codes_lost"]:
        notes.append(
            f"{totals['codes_lost']} functions found no room in the code table: "
            "where they let the GIL go is unknown"
        )
    if totals["interpreters_before"]:
        notes.append(
            f"{totals['interpreters_before']} other interpreters were running when recording "
            "began: those with a GIL of their own are not recorded"
        )
    if totals["gils_unseen"]:
        notes.append(f"{totals['gils_unseen']} further GILs were not recorded")
    return notes


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None


def _tids(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()


def _born(pid: int, tid: int) -> int:
    """When a thread was started, in clock ticks since boot; 0: there is no such thread."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _comm(pid: int, tid: int) -> str:
    try:
        with open(f"/proc/{pid}/task/{tid}/comm", "rb") as file:
            return file.read().decode("utf-8", "replace").rstrip("\n")
    except OSError:
        return ""
