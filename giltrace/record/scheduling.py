"""Asking the kernel to record what it does with the target's threads, and taking that out.

The kernel writes into buffers of its own, one for each CPU, which only the recorder reads: the
target knows nothing of it. See docs/explanation/scheduling.md.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from giltrace._core import SchedReader
from giltrace.capture.scheduling import (
    CPU_MASK,
    CPU_SHIFT,
    MOST_LOST,
    ROW_SIZE,
    TID_SHIFT,
    WHAT_MASK,
    Recorded,
    What,
    pack_row,
)
from giltrace.record.sink import Sink

_ONLINE: Final = Path("/sys/devices/system/cpu/online")
_PARANOID: Final = Path("/proc/sys/kernel/perf_event_paranoid")
_TRACING: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_LEAST_PAGES, _MOST_PAGES = 8, 512
_MOST_MEMORY: Final = 64 << 20
_FLUSH_NS: Final = 100_000_000
_FLUSH_BYTES: Final = 1 << 20
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.005, 0.05
# A row comes from a record of at least so many bytes.
_RECORD_BYTES: Final = 32
# Records of wake-ups carry ids as the kernel's first PID namespace has them: this one.
_FIRST_PID_NAMESPACE: Final = "pid:[4026531836]"


@dataclass(frozen=True)
class Wakeups:
    """The tracepoint that tells when threads are woken.

    Attributes:
        number: its id.
        tid_at: where in its record the thread's id is.
    """

    number: int
    tid_at: int

    @classmethod
    def find(cls, directories: Iterable[Path] = _TRACING) -> Self | None:
        """None: there is none that this process may see, or its ids would mean nothing here."""
        try:
            if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE:
                return None
        except OSError:
            return None
        for directory in directories:
            event = directory / "events" / "sched" / "sched_wakeup"
            try:
                number = int((event / "id").read_text(encoding="ascii"))
                layout = (event / "format").read_text(encoding="ascii")
            except (OSError, ValueError):
                continue
            if found := re.search(r"field:pid_t pid;\s*offset:(\d+);\s*size:4;", layout):
                return cls(number, int(found[1]))
        return None


class Scheduling:
    """What the kernel does with the processes that this thread starts from now on.

    A context manager: in the end the kernel records no more.

    Attributes:
        recorded: how much of it is recorded.
        refused: why it is not, although it was asked for; ``""`` if it is, or was not asked for.
    """

    def __init__(self, *, asked: bool) -> None:
        """Begin, if that was ``asked`` for. Never raises: see ``refused``."""
        self.recorded: Recorded = "off"
        self.refused = ""
        self._reader: SchedReader | None = None
        self._pending: list[bytes] = []
        self._told_lost: Counter[int] = Counter()
        self._flushed_ns = self._polled_ns = time.monotonic_ns()
        if not asked:
            return
        wakeups = Wakeups.find()
        try:
            self._reader = _open(wakeups)
        except OSError as error:
            if error.filename != "wakeups":
                self.refused = why_refused(error)
                return
            wakeups = None
            try:
                self._reader = _open(None)
            except OSError as again:
                self.refused = why_refused(again)
                return
        self.recorded = "wakeups" if wakeups is not None else "switches"

    def described(self) -> dict[str, Any]:
        """For the first record of a capture."""
        described = {"sched": self.recorded}
        return described | {"sched_refused": self.refused} if self.refused else described

    def poll(self, sink: Sink) -> float:
        """Take what is there; returns how many seconds may pass before the next time.

        Raises:
            OSError: it cannot be written.
        """
        if self._reader is None:
            return _MAX_PAUSE_S
        rows = self._reader.drain()
        for some in rows:
            self._told_lost.update(_lost_in(some))
        self._pending += rows
        now = time.monotonic_ns()
        pause_s = self._pause(max(map(len, rows), default=0), now - self._polled_ns)
        self._polled_ns = now
        if now - self._flushed_ns > _FLUSH_NS or sum(map(len, self._pending)) > _FLUSH_BYTES:
            self._write(sink)
        return pause_s

    def finish(self, sink: Sink) -> None:
        """Take the rest, and end.

        Raises:
            OSError: it cannot be written.
        """
        if self._reader is None:
            return
        self.poll(sink)
        # What was lost since the last record that found room is told by none.
        now = time.monotonic_ns()
        for cpu, lost in self._reader.lost():
            if (rest := lost - self._told_lost[cpu]) > 0:
                self._pending.append(pack_row(now, What.LOST, min(rest, MOST_LOST), cpu=cpu))
        self.close()
        self._write(sink)

    def close(self) -> None:
        """The kernel records no more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, sink: Sink) -> None:
        self._flushed_ns = time.monotonic_ns()
        rows, self._pending = b"".join(self._pending), []
        if rows:
            sink.scheduling(rows)
            sink.flush()

    def _pause(self, fullest: int, elapsed_ns: int) -> float:
        """Seconds until a tenth of a buffer will be full again, at the rate just seen."""
        if not fullest or self._reader is None:
            return _MAX_PAUSE_S
        records = fullest // ROW_SIZE * _RECORD_BYTES
        full_s = self._reader.capacity / records * elapsed_ns / 1e9
        return min(_MAX_PAUSE_S, max(_MIN_PAUSE_S, full_s / 10))


def why_refused(error: OSError, paranoid_file: Path = _PARANOID) -> str:
    """What is missing, and what to do about it."""
    code = error.errno
    if error.filename == "mmap":
        return (
            f"there is no memory for the kernel's records: {error.strerror} "
            "(see kernel.perf_event_mlock_kb and ulimit -l)"
        )
    if code in (errno.EACCES, errno.EPERM):
        try:
            paranoid = int(paranoid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            paranoid = 0
        if paranoid > 2:
            return (
                f"kernel.perf_event_paranoid is {paranoid} "
                "(sudo sysctl kernel.perf_event_paranoid=2)"
            )
        return "perf_event_open is not permitted here (in a container: --cap-add=PERFMON)"
    if code in (errno.EMFILE, errno.ENFILE):
        return "it takes an open file for each CPU, and there may be no more (ulimit -n)"
    return f"this kernel cannot: perf_event_open: {error.strerror}"


def _lost_in(rows: bytes) -> dict[int, int]:
    """How many lost rows of each CPU some rows tell of. They are rare, and one byte tells them."""
    lost: Counter[int] = Counter()
    if What.LOST in rows[8::ROW_SIZE]:
        for _ts, data in struct.iter_unpack("<QQ", rows):
            if data & WHAT_MASK == What.LOST:
                lost[data >> CPU_SHIFT & CPU_MASK] += data >> TID_SHIFT
    return lost


def _open(wakeups: Wakeups | None) -> SchedReader:
    """Buffers as large as may be, within reason."""
    cpus = _cpus()
    number, tid_at = (wakeups.number, wakeups.tid_at) if wakeups is not None else (0, 0)
    room = max(_LEAST_PAGES, _MOST_MEMORY // os.sysconf("SC_PAGESIZE") // len(cpus))
    pages = min(_MOST_PAGES, 1 << room.bit_length() - 1)
    while True:
        try:
            return SchedReader(cpus, pages, wakeups=number, tid_at=tid_at)
        except OSError as error:
            if error.filename != "mmap" or pages <= _LEAST_PAGES:
                raise
            pages //= 2


def _cpus(file: Path = _ONLINE) -> tuple[int, ...]:
    """The CPUs that are online."""
    try:
        parts = [part.split("-") for part in file.read_text(encoding="ascii").strip().split(",")]
        return tuple(cpu for part in parts for cpu in range(int(part[0]), int(part[-1]) + 1))
    except (OSError, ValueError):
        return tuple(range(os.cpu_count() or 1))
