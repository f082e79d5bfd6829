"""What sockets are, by their inode number: from the kernel's tables in /proc/PID/net."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Collection
from typing import Final

# The tables are text with a line for each socket there is, so reading them can be slow: not more
# often than this, and not more than a fiftieth of the time.
_PAUSE_NS: Final = 250_000_000
_SHARE: Final = 50
_MOST_BYTES: Final = 8 << 20
# One that is not there after so many readings is of another family, or was not bound at all.
_TRIES: Final = 3
_MOST_KNOWN: Final = 20_000
_LONGEST: Final = 200

_TABLES: Final = ("tcp", "tcp6", "udp", "udp6", "unix")
_TCP_LISTEN: Final = b"0A"
_UNIX_LISTENS: Final = 1 << 16
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an IPv6 address begins that stands for an IPv4 one."""


class Sockets:
    """Answers for all processes of a recording, so that they share what reading costs."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._wanted: dict[int, tuple[int, int]] = {}  # inode -> (pid, readings without it)
        self._next_ns = 0

    def find(self, pid: int, inodes: Collection[int], now_ns: int) -> dict[int, str]:
        """What is known of some sockets of a process; ask again later for the others.

        ``socket`` stands for what is in none of the tables. Inode numbers are unique in the whole
        system, so an answer holds for every process.

        Args:
            pid: the process.
            inodes: the sockets' numbers.
            now_ns: the time on CLOCK_MONOTONIC.
        """
        for inode in inodes:
            if inode not in self._known and len(self._wanted) < _MOST_KNOWN:
                self._wanted.setdefault(inode, (pid, 0))
        if self._wanted and now_ns >= self._next_ns:
            started = time.thread_time_ns()
            self._read()
            cost_ns = time.thread_time_ns() - started
            self._next_ns = now_ns + max(_PAUSE_NS, _SHARE * cost_ns)
        return {inode: self._known[inode] for inode in inodes if inode in self._known}

    def _read(self) -> None:
        # Another process may be in another namespace; its turn comes when these have been found,
        # or were put at the end of the row.
        pid, _ = next(iter(self._wanted.values()))
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        for table in _TABLES:
            for inode, what in _look_up(pid, table, self._wanted):
                self._known[inode] = what
                del self._wanted[inode]
            if not self._wanted:
                return
        for inode, (owner, tries) in list(self._wanted.items()):
            if owner == pid:
                del self._wanted[inode]
                if tries + 1 < _TRIES:
                    self._wanted[inode] = (owner, tries + 1)
                else:
                    self._known[inode] = "socket"


def _look_up(pid: int, table: str, wanted: Collection[int]) -> list[tuple[int, str]]:
    """Those of some inodes that are in one table of the process's network namespace."""
    found: dict[int, str] = {}
    column = 6 if table == "unix" else 9
    for line in _lines(f"/proc/{pid}/net/{table}"):
        fields = line.split(None, 7 if table == "unix" else 10)
        try:
            inode = int(fields[column])
            if inode in wanted and inode not in found:
                found[inode] = _unix(fields) if table == "unix" else _inet(table[:3], fields)
        except (IndexError, ValueError, struct.error):
            continue  # the heading, or half a line at the limit
    return list(found.items())


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).split(b"\n")
    except OSError:
        return []


def _inet(protocol: str, fields: list[bytes]) -> str:
    local = _address(fields[1])
    if protocol == "tcp" and fields[3] == _TCP_LISTEN:
        return f"tcp listening {local}"
    if fields[2].endswith(b":0000"):
        return f"{protocol} {local}"
    return f"{protocol} {local} -> {_address(fields[2])}"


def _address(field: bytes) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``; the kernel prints 32-bit words as its processor has them.

    Raises:
        ValueError, struct.error: it is not an address.
    """
    digits, _, port = field.partition(b":")
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    packed = packed.removeprefix(_MAPPED)
    if len(packed) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"


def _unix(fields: list[bytes]) -> str:
    path = os.fsdecode(fields[7][:_LONGEST]) if len(fields) > 7 else "(unnamed)"
    return f"unix {'listening ' * bool(int(fields[3], 16) & _UNIX_LISTENS)}{path}"
