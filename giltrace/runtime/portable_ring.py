"""What the portable back end writes into shared memory: a ring of records in a file.

The recorder reads it while it is written (`giltrace.record.portable`). One side writes each
number of the header, and a record counts once ``WRITTEN`` has moved past it, so that neither a
crash nor an exception out of a signal handler leaves half a record.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import mmap
import os
import struct

MAGIC = b"GTPORT1\n"
HEADER_BYTES = 4096
INFO_AT = 512
INFO_BYTES = HEADER_BYTES - INFO_AT

HEADER = struct.Struct("<8sIIQQQ")
"""Magic, zero, bytes of information, process id, time of the start, bytes of the ring."""

# Where the 64-bit numbers of the header are, each in a cache line of its own.
WRITTEN_AT = 64
"""Bytes written since the start, by the target."""
TAKEN_AT = 128
"""Bytes taken since the start, by the recorder."""
OFF_AT = 192
"""Not zero: the recorder has asked the target to stop."""
LOST_AT = 256
"""Events that found no room, by the target."""

U64 = struct.Struct("<Q")
RECORD = struct.Struct("<II")
"""The head of a record: its kind, and its length with the head. The next begins at the next
multiple of eight bytes."""

PAD = 0
"""Nothing: the rest of the ring up to its end."""
SWITCH = 1
"""`SWITCH_HEAD`, then 16-byte events: of the first thread, but the last one of the second."""
EVENTS = 2
"""`EVENTS_HEAD`, then 16-byte events of that thread."""
THREAD = 3
"""`THREAD_HEAD`, then the name; again for a thread that has got another name."""
CODE = 4
"""`CODE_HEAD`, then file name, qualified name and line table."""
CALL = 5
"""`CALL_HEAD`, then the name of the C function."""
NOTE = 6
"""A sentence for the user."""
END = 7
"""`U64`: the time at which the recording of this process ended."""

SWITCH_HEAD = struct.Struct("<II")
"""Numbers of the thread that lets go and of the one that acquires."""
EVENTS_HEAD = struct.Struct("<II")
"""Number of the thread, zero."""
THREAD_HEAD = struct.Struct("<IIQQ")
"""Number, zero, the kernel's id, when it was first seen or renamed."""
CODE_HEAD = struct.Struct("<IIIIII")
"""Id, first line, bytes of the file name, of the qualified name, what the line table is, and for
`LNOTAB` how many bytes of code it covers."""
CALL_HEAD = struct.Struct("<II")
"""Id, zero."""

LNOTAB = 0
"""A line table as in ``co_lnotab`` (CPython before 3.11, and PyPy)."""
LINETABLE = 1
"""A line table as in ``co_linetable`` of CPython 3.11 and later."""


def record(kind: int, body: bytes) -> bytes:
    """One record, filled up to a multiple of eight bytes."""
    size = RECORD.size + len(body)
    return RECORD.pack(kind, size) + body + bytes(-size % 8)


class Ring:
    """The target's side of the ring. Not thread-safe.

    Attributes:
        size: bytes there are for records.
    """

    def __init__(self, path: str, info: bytes, start_ns: int, size: int) -> None:
        """Create the file; it appears under its name once it is whole.

        Args:
            path: where.
            info: facts about this process as JSON, at most `INFO_BYTES`.
            start_ns: when its recording begins.
            size: of the ring, a multiple of eight.

        Raises:
            OSError: there is no room for it, or no such folder.
        """
        self.size = size
        self._written = 0
        self._taken = 0
        making = path + ".making"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        fd = os.open(making, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            # A page that cannot be had later would be the end of the target (SIGBUS).
            _allocate(fd, HEADER_BYTES + size)
            self._memory = mmap.mmap(fd, HEADER_BYTES + size)
            self._memory[: HEADER.size] = HEADER.pack(
                MAGIC, 0, len(info), os.getpid(), start_ns, size
            )
            self._memory[INFO_AT : INFO_AT + len(info)] = info
            os.rename(making, path)
        except BaseException:
            os.unlink(making)
            raise
        finally:
            os.close(fd)

    def write(self, raw: bytes) -> bool:
        """Append records that together fill a multiple of eight bytes: all of them or none.

        Returns:
            False if there is no room for them.
        """
        size = len(raw)
        at = self._written % self.size
        pad = self.size - at if at + size > self.size else 0
        end = self._written + pad + size
        if end - self._taken > self.size:
            self._taken = self._number(TAKEN_AT)
            if end - self._taken > self.size:
                return False
        if pad:
            self._memory[HEADER_BYTES + at : HEADER_BYTES + at + RECORD.size] = RECORD.pack(
                PAD, pad
            )
            at = 0
        at += HEADER_BYTES
        self._memory[at : at + size] = raw
        self._memory[WRITTEN_AT : WRITTEN_AT + 8] = U64.pack(end)
        self._written = end
        return True

    def tell_lost(self, events: int) -> None:
        """Say how many events found no room, in all."""
        self._memory[LOST_AT : LOST_AT + 8] = U64.pack(events)

    def is_off(self) -> bool:
        """Whether the recorder has asked to stop."""
        return self._memory[OFF_AT] != 0

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()

    def _number(self, at: int) -> int:
        # It may change while it is read, byte by byte.
        raw = self._memory[at : at + 8]
        while True:
            again = self._memory[at : at + 8]
            if raw == again:
                value: int = U64.unpack(raw)[0]
                return value
            raw = again


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    left = size
    while left > 0:
        left -= os.write(fd, bytes(min(left, 1 << 16)))
