"""The C calls that releases are made in: what people call them, and what a thread does there.

A capture names them as C does: ``_socket.socket.recv``, ``posix.read``. The tables below know the
standard library of CPython 3.11 to 3.15 and the extensions that block most often. Whole modules are
listed by prefix, so that functions which later versions add are known too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from giltrace.capture.records import CallInfo
from giltrace.model.tables import I1, I4


class OffKind(IntEnum):
    """What a thread does off the GIL."""

    UNKNOWN = 0
    """Nothing tells."""
    BLOCKED = 1
    """It waits for I/O: the kernel, the network, another process."""
    SLEEP = 2
    """It lets time pass, or waits for a signal."""
    LOCK = 3
    """It waits for another thread: a lock, a queue, a thread's end."""
    NATIVE = 4
    """It computes."""
    SWITCH = 5
    """It was made to let go, and has not asked again yet: it does nothing of its own."""


IDLE_KINDS: Final = frozenset({OffKind.BLOCKED, OffKind.SLEEP, OffKind.LOCK})
"""The kinds in which a thread uses no CPU to speak of."""


@dataclass(frozen=True, slots=True)
class Call:
    """One C function. Names come from the target: see `Thread.name`.

    Attributes:
        name: as C knows it, ``_socket.socket.recv``; ``""`` for the unknown call.
        label: as people know it, ``socket.recv``.
        kind: what a thread does in it; UNKNOWN if it may be this or that, so that only the
            thread's CPU clock can tell.
    """

    name: str = ""
    label: str = ""
    kind: OffKind = OffKind.UNKNOWN


UNKNOWN_CALL: Final = Call()


def known_call(name: str) -> Call:
    """The call of that name in C; one that is not in the tables is called by its name."""
    if not name:
        return UNKNOWN_CALL
    prefix, label, kind = _owner(name)
    label = _LABELS.get(name) or f"{label}{name[len(prefix) :]}"
    return Call(name, label, _KINDS.get(name, kind))


def kinds_of(calls: Sequence[Call]) -> I1:
    """int8: the `OffKind` of each call."""
    return np.array([call.kind for call in calls], np.int8)


def _owner(name: str) -> tuple[str, str, OffKind]:
    """The longest prefix of a name that is in the table, with its label and its kind."""
    end = len(name)
    while (end := name.rfind(".", 0, end)) >= 0:
        if (found := _PREFIXES.get(name[: end + 1])) is not None:
            return name[: end + 1], *found
    return "", "", OffKind.UNKNOWN


class CallTable:
    """All calls of a trace; those of one name are one in all processes. Number 0 is unknown."""

    def __init__(self) -> None:
        self._numbers: dict[Call, int] = {UNKNOWN_CALL: 0}

    def calls(self) -> tuple[Call, ...]:
        """The calls in the order of their numbers."""
        return tuple(self._numbers)

    def numbers(self, names: Mapping[int, str]) -> I4:
        """int32 [65536]: for each call id of a process the number of the call; 0 if unknown."""
        numbers = np.zeros(1 << 16, np.int32)
        for call, name in names.items():
            if 0 < call < len(numbers):
                known = known_call(name)
                numbers[call] = self._numbers.setdefault(known, len(self._numbers))
        return numbers


def call_names(calls: Iterable[CallInfo], process: int) -> dict[int, str]:
    """The names of the calls of one process by id."""
    return {call.call: call.name for call in calls if call.process == process}


# ------------------------------------------------------------------------------ tables

_BLOCKED, _SLEEP, _LOCK, _NATIVE, _UNKNOWN = (
    OffKind.BLOCKED,
    OffKind.SLEEP,
    OffKind.LOCK,
    OffKind.NATIVE,
    OffKind.UNKNOWN,
)

# The start of a name, up to a dot: what stands for it in the label, and the kind. Of several that
# fit, the longest counts.
_PREFIXES: Final[dict[str, tuple[str, OffKind]]] = {
    # Threads
    "_thread.": ("_thread.", _UNKNOWN),
    "_thread.lock.": ("Lock.", _LOCK),
    "_thread.LockType.": ("Lock.", _LOCK),
    "_thread.RLock.": ("RLock.", _LOCK),
    "_thread._ThreadHandle.": ("Thread.", _LOCK),
    "_queue.": ("queue.", _LOCK),
    "_queue.SimpleQueue.": ("SimpleQueue.", _LOCK),
    "_multiprocessing.": ("multiprocessing.", _BLOCKED),
    "_multiprocessing.SemLock.": ("multiprocessing.Lock.", _LOCK),
    "_signal.": ("signal.", _UNKNOWN),
    # The network
    "_socket.": ("socket.", _BLOCKED),
    "_socket.socket.": ("socket.", _BLOCKED),
    "_ssl.": ("ssl.", _UNKNOWN),
    "_ssl._SSLSocket.": ("SSLSocket.", _BLOCKED),
    "_ssl._SSLContext.": ("SSLContext.", _UNKNOWN),
    # Files, terminals and other processes
    "posix.": ("os.", _BLOCKED),
    "nt.": ("os.", _BLOCKED),
    "_io.": ("", _BLOCKED),
    "io.": ("", _BLOCKED),
    "builtins.": ("", _UNKNOWN),
    "mmap.mmap.": ("mmap.", _BLOCKED),
    "_posixshmem.": ("shared_memory.", _BLOCKED),
    "_posixsubprocess.": ("subprocess.", _BLOCKED),
    "_curses.": ("curses.", _BLOCKED),
    "_curses.window.": ("curses.window.", _BLOCKED),
    "_tkinter.": ("tkinter.", _BLOCKED),
    "_tkinter.tkapp.": ("tkinter.", _BLOCKED),
    **{
        f"{module}.": (f"{module}.", _BLOCKED)
        for module in (
            *("fcntl", "grp", "mmap", "msvcrt", "pwd", "readline", "select", "syslog", "termios"),
            *("_overlapped", "_scproxy", "_winapi"),
        )
    },
    # SQLite is a library: a query computes, reads the disk, or waits for a lock of the database.
    "_sqlite3.": ("sqlite3.", _UNKNOWN),
    # Other code: anything at all
    "_ctypes.": ("ctypes.", _UNKNOWN),
    "_xxsubinterpreters.": ("_interpreters.", _UNKNOWN),
    # Compression, checksums and hashes
    "zlib.": ("zlib.", _NATIVE),
    "_bz2.": ("bz2.", _NATIVE),
    "_lzma.": ("lzma.", _NATIVE),
    "_zstd.": ("zstd.", _NATIVE),
    "binascii.": ("binascii.", _NATIVE),
    "_hashlib.": ("hashlib.", _NATIVE),
    "_hashlib.HASH.": ("hashlib.", _NATIVE),
    "_hashlib.HASHXOF.": ("hashlib.", _NATIVE),
    "_hashlib.HMAC.": ("hmac.", _NATIVE),
    "_hmac.": ("hmac.", _NATIVE),
    "_hmac.HMAC.": ("hmac.", _NATIVE),
    "_blake2.": ("hashlib.", _NATIVE),
    "_md5.": ("hashlib.", _NATIVE),
    "_sha1.": ("hashlib.", _NATIVE),
    "_sha2.": ("hashlib.", _NATIVE),
    "_sha256.": ("hashlib.", _NATIVE),
    "_sha512.": ("hashlib.", _NATIVE),
    "_sha3.": ("hashlib.", _NATIVE),
    "_md5.MD5Type.": ("hashlib.md5.", _NATIVE),
    "_sha1.SHA1Type.": ("hashlib.sha1.", _NATIVE),
    **{
        f"{module}.SHA{bits}Type.": (f"hashlib.sha{bits}.", _NATIVE)
        for module, sizes in (
            ("_sha2", (224, 256, 384, 512)),
            ("_sha256", (224, 256)),
            ("_sha512", (384, 512)),
        )
        for bits in sizes
    },
    "_uuid.": ("uuid.", _UNKNOWN),
    # Extensions
    "zmq.backend.": ("zmq.", _BLOCKED),
    "zmq.backend.cython.": ("zmq.", _BLOCKED),
    "zmq.backend.cython._zmq.": ("zmq.", _BLOCKED),
    "zmq.backend.cython._poll.": ("zmq.", _BLOCKED),
    "zmq.backend.cython.context.": ("zmq.", _BLOCKED),
    "zmq.backend.cython.socket.": ("zmq.", _BLOCKED),
    "psycopg2._psycopg.": ("psycopg2.", _BLOCKED),
    "MySQLdb._mysql.": ("MySQLdb.", _BLOCKED),
    "uvloop.loop.": ("uvloop.", _BLOCKED),
    "grpc._cython.cygrpc.": ("grpc.", _BLOCKED),
    "confluent_kafka.cimpl.": ("confluent_kafka.", _BLOCKED),
    "numpy.": ("numpy.", _NATIVE),
    "PIL._imaging.": ("PIL.", _NATIVE),
}

# Single names whose kind is not that of their prefix.
_KINDS: Final[dict[str, OffKind]] = {
    "time.sleep": _SLEEP,
    **{
        f"{module}.{name}": _SLEEP
        for module in ("_signal", "signal")
        for name in ("pause", "sigwait", "sigwaitinfo", "sigtimedwait")
    },
    "_thread._shutdown": _LOCK,
    "builtins.input": _BLOCKED,
    "builtins.open": _BLOCKED,
    "builtins.print": _BLOCKED,
    "posix.sched_yield": _SLEEP,
    # Waiting for what a child does is I/O. Making one, or random numbers, is work for the kernel.
    **{
        f"{module}.{name}": _UNKNOWN
        for module in ("posix", "nt")
        for name in ("fork", "fork1", "forkpty", "getrandom", "urandom")
    },
}

# Single names whose label is not that of their prefix with the rest behind it.
_LABELS: Final[dict[str, str]] = {
    **{
        f"{owner}.{name}": f"{label}.acquire"
        for owner, label in (
            ("_thread.lock", "Lock"),
            ("_thread.LockType", "Lock"),
            ("_thread.RLock", "RLock"),
            ("_multiprocessing.SemLock", "multiprocessing.Lock"),
        )
        for name in ("__enter__", "acquire_lock", "_acquire_restore")
    },
    "_socket.socket._accept": "socket.accept",
    "_posixsubprocess.fork_exec": "subprocess.Popen",
    "_hashlib.hmac_digest": "hmac.digest",
    "_hashlib.hmac_new": "hmac.new",
    **{
        f"_hashlib.openssl_{name}": f"hashlib.{name}"
        for name in (
            *("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
            *("sha3_224", "sha3_256", "sha3_384", "sha3_512", "shake_128", "shake_256"),
        )
    },
    "zmq.backend.cython._zmq.zmq_poll": "zmq.poll",
    "zmq.backend.cython._poll.zmq_poll": "zmq.poll",
}
