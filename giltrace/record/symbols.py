"""Where functions of the interpreter and of libc are in the memory of a running process.

Read from the outside: the kernel's list of what the process has mapped, and the dynamic symbol
tables of those files, which stripped builds have, too.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_MAGIC: Final = b"\x7fELF\x02\x01"  # 64 bits, little endian
_LOAD, _DYNAMIC_SYMBOLS = 1, 11
_PAGE: Final = 4096
_MOST_SYMBOLS: Final = 1_000_000

VERSION: Final = "Py_Version"
"""A constant that every Python has from 3.11 on."""


class Mapping(NamedTuple):
    """A line of ``/proc/PID/maps`` that shows a file."""

    start: int
    offset: int
    path: str


@dataclass(frozen=True)
class Image:
    """A program or library that a process has mapped.

    Attributes:
        path: as the process knows it.
        symbols: what it defines: (address in the process, bytes in the file from there on).
    """

    path: str
    symbols: dict[str, tuple[int, bytes]]


def mappings(pid: int) -> list[Mapping]:
    """The files that a process has mapped.

    Raises:
        OSError: it may not be asked, or has ended.
    """
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            words = line.rstrip("\n").split(maxsplit=5)
            if len(words) == 6 and words[5].startswith("/"):
                start = int(words[0].partition("-")[0], 16)
                found.append(Mapping(start, int(words[2], 16), words[5]))
    return found


def images(pid: int, wanted: Iterable[str]) -> Iterator[Image]:
    """The program and the libraries of a process that define one of ``wanted``.

    Only files that may hold the interpreter or libc's functions are read.

    Raises:
        OSError: the process may not be asked, or has ended.
    """
    names = frozenset(wanted)
    lines = mappings(pid)
    exe = os.readlink(f"/proc/{pid}/exe")
    for path in dict.fromkeys([exe, *(line.path for line in lines)]):
        name = os.path.basename(path)
        if path != exe and not name.startswith(("libpython", "libc.so", "libc-", "libpthread")):
            continue
        # By the process's own root: a path may mean another file to us.
        file = f"/proc/{pid}/exe" if path == exe else f"/proc/{pid}/root{path}"
        try:
            symbols = _symbols(file, names, [line for line in lines if line.path == path])
        except (OSError, ValueError, struct.error):
            continue
        if symbols:
            yield Image(path, symbols)


def _symbols(
    file: str, names: frozenset[str], lines: list[Mapping]
) -> dict[str, tuple[int, bytes]]:
    """What a file defines of ``names``.

    Raises:
        OSError, ValueError, struct.error: it cannot be read, or is something else.
    """
    with (
        open(file, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        if data[: len(_MAGIC)] != _MAGIC:
            return {}
        header = _HEADER.unpack_from(data)
        segments = [
            _PROGRAM.unpack_from(data, header[5] + i * header[9]) for i in range(header[10])
        ]
        loads = [(s[2], s[3], s[5]) for s in segments if s[0] == _LOAD]
        bias = _bias(loads, lines)
        if bias is None:
            return {}
        found = {}
        for name, value in _defined(data, header[6], header[12], names):
            at = next(
                (value - low + offset for offset, low, size in loads if low <= value < low + size),
                len(data),
            )
            found[name] = (bias + value, bytes(data[at : at + 8]))
        return found


def _bias(loads: list[tuple[int, int, int]], lines: list[Mapping]) -> int | None:
    """How far from where the file says it is loaded."""
    for offset, low, _ in loads:
        for line in lines:
            if line.offset == offset - offset % _PAGE:
                return line.start - (low - low % _PAGE)
    return None


def _defined(
    data: mmap.mmap, sections_at: int, n_sections: int, names: frozenset[str]
) -> Iterator[tuple[str, int]]:
    sections = [
        _SECTION.unpack_from(data, sections_at + i * _SECTION.size) for i in range(n_sections)
    ]
    for section in sections:
        if section[1] != _DYNAMIC_SYMBOLS or section[5] > _MOST_SYMBOLS * _SYMBOL.size:
            continue
        texts_at = sections[section[6]][4]
        table = data[section[4] : section[4] + section[5]]
        for word, _, _, index, value, _ in _SYMBOL.iter_unpack(table):
            if index and value:
                start = texts_at + word
                end = data.find(b"\0", start, start + 64)
                name = data[start:end].decode("latin-1") if end > start else ""
                if name in names:
                    yield name, value
