"""The source lines of the functions in a capture, so that it tells its story on any machine.

Only text that was there when the process started is taken: anything newer may not be what ran.
File names come from the target, which may name whatever it likes; see `_read` for what is read.
"""

from __future__ import annotations

import io
import os
import stat
import time
import tokenize
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from giltrace.capture.linetable import LineTable
from giltrace.capture.records import CodeInfo, ProcessInfo, SourceText

# What is kept while recording.
_MOST_FILES: Final = 2_000
_MOST_ENDED: Final = 1_000
_MOST_TABLE_BYTES: Final = 2 << 20
# What is done with it at the end, while the user waits.
_PATIENCE_S: Final = 1.0
_FILE_BYTES: Final = 4 << 20
_READ_BYTES: Final = 32 << 20
# What goes into the capture.
_TEXT_BYTES: Final = 1 << 20
_LINES_PER_FILE: Final = 2_000
_LINES_PER_CODE: Final = 500
_LINE_LENGTH: Final = 500
_ELLIPSIS: Final = "…"

# Blank lines and comments that are taken along rather than begin another record.
_GAP: Final = 3
# The table of a multi-line expression has its first and last line; of a statement with a block,
# too, but of that only the head belongs to this function.
_LONGEST_EXPRESSION: Final = 50
_LONGEST_HEAD: Final = 10
_BLOCKS: Final = ("def ", "class ", "async ", "with ", "for ", "while ", "try:", "@")

# Start times of processes count in ticks of 10 ms, those of files in the kernel's own. Within so
# short a time no interpreter comes to reading its program.
_TOLERANCE_NS: Final = 20_000_000
# Their decoders take time that grows with the square of the text.
_SLOW_CODECS: Final = ("idna", "punycode")


@dataclass(frozen=True)
class _Process:
    pid: int
    argv: list[str]
    started_ns: int  # since the epoch
    cwd: str | None
    ours: bool  # of our own user: we may keep whatever we can read
    same_files: bool  # a path means to us what it means to the process


@dataclass
class _File:
    path: str
    before_ns: int
    ours: bool
    tables: set[tuple[int, bytes]] = field(default_factory=set)


class Sources:
    """Collects code records while recording, and in the end the source of their functions."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._files: dict[str, _File | None] = {}  # None: the name means several things
        self._ended: deque[int] = deque()
        self._table_bytes = 0

    def meet(self, info: ProcessInfo) -> None:
        """Take note of a process, before its code records, and as early as possible."""
        process = _examine(info)
        parents = [other for other in self._processes.values() if other.pid == info.ppid]
        if parents and parents[-1].argv == info.argv:
            # A fork: it runs what its parent has read, under the names it had there.
            started_ns = min(process.started_ns, parents[-1].started_ns)
            process = replace(process, started_ns=started_ns, cwd=parents[-1].cwd)
        self._processes[info.process] = process

    def forget(self, process: int) -> None:
        """No more code records of this process will come."""
        # Not at once: its children may be met after its end.
        self._ended.append(process)
        if len(self._ended) > _MOST_ENDED:
            self._processes.pop(self._ended.popleft(), None)

    def add(self, code: CodeInfo) -> None:
        """Take note of a code record; takes about a microsecond."""
        process = self._processes.get(code.process)
        if process is None or not process.same_files or code.filename[:1] in ("", "<"):
            return
        if self._table_bytes + len(code.linetable) > _MOST_TABLE_BYTES:
            return
        file = self._file(code.filename, process)
        if file is None:
            return
        key = (code.firstlineno, code.linetable)
        if key not in file.tables:
            file.tables.add(key)
            self._table_bytes += len(code.linetable)

    def records(self) -> Iterator[SourceText]:
        """What to write at the end of the recording, after everything else but END.

        Never raises, and ends after about a second at the latest, with what there is by then.
        """
        deadline = time.monotonic() + _PATIENCE_S
        to_read, to_write = _READ_BYTES, _TEXT_BYTES
        for filename, file in self._files.items():
            if file is None:
                continue
            data = _read(file, min(_FILE_BYTES, to_read))
            to_read -= len(data)
            lines = _decode(data)
            for record in _blocks(filename, lines, _wanted(file, lines, deadline)):
                to_write -= len(record.text.encode("utf-8", "replace"))
                if to_write < 0:
                    return
                yield record
            if time.monotonic() > deadline:
                return

    def _file(self, filename: str, process: _Process) -> _File | None:
        path = filename
        if not os.path.isabs(filename):
            if process.cwd is None:
                return None
            path = os.path.join(process.cwd, filename)
        if filename not in self._files:
            if len(self._files) >= _MOST_FILES:
                return None
            self._files[filename] = _File(path, process.started_ns, process.ours)
        file = self._files[filename]
        if file is not None:
            file.before_ns = min(file.before_ns, process.started_ns)
            file.ours = file.ours and process.ours
            if path != file.path:
                self._files[filename] = None
        return self._files[filename]


def _examine(info: ProcessInfo) -> _Process:
    """What the kernel says about a process; it may have ended already."""
    proc = f"/proc/{info.pid}"
    uid, own = _uid(proc), os.geteuid()
    return _Process(
        info.pid,
        info.argv,
        _started_ns(proc, info.start_ns) + _TOLERANCE_NS,
        _cwd(proc),
        # Where nobody can tell, it is another's only if it could be.
        own != 0 if uid is None else uid == own,
        _same_files(proc),
    )


def _started_ns(proc: str, recorded_ns: int) -> int:
    """When it started, since the epoch; its recording began at ``recorded_ns``, monotonic."""
    latest = time.time_ns() - (time.monotonic_ns() - recorded_ns)
    try:
        with open(f"{proc}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return latest
    since_boot_ns = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return min(latest, boot_ns + since_boot_ns)


def _cwd(proc: str) -> str | None:
    try:
        return os.readlink(f"{proc}/cwd")
    except OSError:
        return None


def _uid(proc: str) -> int | None:
    try:
        with open(f"{proc}/status", "rb") as file:
            rows = [line.split() for line in file if line.startswith(b"Uid:")]
        return int(rows[0][2])
    except (OSError, ValueError, IndexError):
        return None


def _same_files(proc: str) -> bool:
    """Whether it lives in our mount namespace, under our root; yes, if nobody can tell."""
    try:
        return os.readlink(f"{proc}/ns/mnt") == os.readlink("/proc/self/ns/mnt") and (
            os.path.samefile(f"{proc}/root", "/proc/self/root")
        )
    except OSError:
        return True


def _read(file: _File, limit: int) -> bytes:
    """The bytes of a file, or none: only a regular one as it was at the start, within the limit.

    Links are followed: sources are often linked, and all checks are made on what was opened.
    """
    try:
        # First by name: a device may act on being opened.
        if not _is_good(file, os.stat(file.path), limit):
            return b""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with open(os.open(file.path, flags), "rb", buffering=0) as raw:
            status = os.fstat(raw.fileno())
            data = raw.read(limit + 1) if _is_good(file, status, limit) else None
        return data if data and len(data) == status.st_size else b""
    except (OSError, ValueError):
        return b""


def _is_good(file: _File, status: os.stat_result, limit: int) -> bool:
    # A file that is moved here keeps the time of its last change, not that of its status.
    return (
        stat.S_ISREG(status.st_mode)
        and max(status.st_mtime_ns, status.st_ctime_ns) < file.before_ns
        and status.st_size <= limit
        and (file.ours or (bool(status.st_mode & stat.S_IROTH) and _is_reachable(file.path)))
    )


def _is_reachable(path: str) -> bool:
    """Whether everyone can enter all folders on the way to a file.

    The capture may be read by those who must not read the file, and the target, which names it,
    by those who would like to.
    """
    folder = os.path.dirname(os.path.realpath(path))
    while os.stat(folder).st_mode & stat.S_IXOTH:
        if folder == os.path.dirname(folder):
            return True
        folder = os.path.dirname(folder)
    return False


def _decode(data: bytes) -> list[str]:
    """The lines of a source file, as Python counts them; none if it is not text."""
    if not data:
        return []
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if encoding.lower() in _SLOW_CODECS:
            return []
        text = data.decode(encoding)
    except (SyntaxError, LookupError, ValueError):
        return []
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _wanted(file: _File, lines: list[str], deadline: float) -> list[int]:
    """The numbers of the lines that the functions of a file cover, ascending."""
    wanted: set[int] = set()
    for firstlineno, linetable in sorted(file.tables):
        if len(wanted) >= _LINES_PER_FILE or time.monotonic() > deadline:
            break
        wanted.update(_covered(firstlineno, linetable, lines))
    return sorted(wanted)[:_LINES_PER_FILE]


def _covered(firstlineno: int, linetable: bytes, lines: list[str]) -> list[int]:
    covered: set[int] = set()
    for first, last in _extents(firstlineno, linetable):
        if 1 <= first <= len(lines):
            covered.update(range(first, _end(first, last, lines) + 1))
    return sorted(covered)[:_LINES_PER_CODE]


def _extents(firstlineno: int, linetable: bytes) -> set[tuple[int, int]]:
    """First and last line of each position in a table."""
    table = LineTable(linetable, firstlineno)
    extents = set()
    unit = 0
    for byte in linetable:
        if byte & 0x80:  # the first byte of an entry; its low bits are the length
            position = table.position(unit)
            unit += (byte & 7) + 1
            if position.line is not None and position.end_line is not None:
                extents.add((position.line, position.end_line))
    return extents


def _end(first: int, last: int, lines: list[str]) -> int:
    """The last line of an expression, or of the head of a statement with a block."""
    if last > first and lines[first - 1].lstrip().startswith(_BLOCKS):
        last = min(last, first + _LONGEST_HEAD, len(lines))
        head = range(first, last + 1)
        return next((n for n in head if lines[n - 1].rstrip().endswith(":")), last)
    return min(last, first + _LONGEST_EXPRESSION, len(lines))


def _blocks(filename: str, lines: list[str], wanted: list[int]) -> Iterator[SourceText]:
    """One record for each stretch of lines without a larger gap."""
    start = 0
    for at, number in enumerate(wanted):
        if at + 1 == len(wanted) or wanted[at + 1] - number > _GAP + 1:
            first = wanted[start]
            start = at + 1
            text = "\n".join(_cut(line) for line in lines[first - 1 : number])
            yield SourceText(filename, first, text)


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + _ELLIPSIS
