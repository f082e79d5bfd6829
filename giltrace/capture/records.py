"""The records of a capture file, and how they become bytes and come back.

Decoding never raises: whatever is not a record of the right shape is ``None``, and the reader
counts it as damage. Unknown JSON fields are ignored and missing ones take their defaults, so a
later minor version can add fields.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, TypeAlias

from giltrace.capture.events import GIL_MASK

# ``Index`` marks what must fit in 32 unsigned bits, ``GilIndex`` what must fit in the 8 that an
# event has for it; the decoder goes by these very names.
Index: TypeAlias = int
GilIndex: TypeAlias = int


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What was recorded, by which giltrace, and when. Always the first record.

    ``started_ns`` is CLOCK_MONOTONIC and ``started_unix_ns`` the same instant since the epoch.
    ``schema`` describes the event layout (see `giltrace.capture.events.schema`).
    """

    giltrace: str
    argv: list[str]
    started_ns: int
    started_unix_ns: int
    host: str = ""
    platform: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One recorded process; ``process`` is its index, by which other records name it.

    ``notes`` are sentences for the user about what this recording can not show.
    """

    process: Index
    pid: int
    ppid: int
    start_ns: int
    python: str
    implementation: str = "cpython"
    executable: str = ""
    argv: list[str] = field(default_factory=list)
    backend: str = "tap"
    switch_interval_ns: int = 5_000_000
    gil_enabled: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """One thread; ``thread`` is its index within its process, ``tid`` the kernel's id."""

    process: Index
    thread: Index
    tid: int
    start_ns: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class ThreadName:
    """A thread got a new name, or its name became known, at ``ts_ns``."""

    process: Index
    thread: Index
    ts_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class GilInfo:
    """One GIL; ``gil`` is the number that the events of this process carry."""

    process: Index
    gil: GilIndex
    interpreter: int = 0
    created_ns: int = 0


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """One code object; ``linetable`` is CPython's ``co_linetable`` (3.11 and later)."""

    process: Index
    code: Index
    firstlineno: Index
    filename: str
    qualname: str
    linetable: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """What the kernel said about a process at ``ts_ns``.

    ``rss`` is in bytes. CPU times and context switches count from the start of the process. Each
    row of ``threads`` is ``[tid, user_ns, system_ns, voluntary, involuntary]``.
    """

    process: Index
    ts_ns: int
    rss: int
    num_threads: int
    cpu_user_ns: int
    cpu_system_ns: int
    ctx_voluntary: int
    ctx_involuntary: int
    threads: list[list[int]]


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """The recording of a process ended; ``lost_events`` counts all it had no room for.

    ``notes`` are sentences for the user, as in `ProcessInfo`, about what only the end could tell.
    """

    process: Index
    ts_ns: int
    lost_events: int
    status: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class End:
    """The recorder finished in good order; without this record it died or still runs.

    ``exit_code`` or ``signal`` say how the target ended, if it did. ``recorder_cpu_ns`` is the CPU
    time that the recorder has used since recording began.
    """

    ts_ns: int
    exit_code: int | None
    signal: int | None
    reason: str = ""
    recorder_cpu_ns: int = 0


@dataclass(frozen=True, slots=True)
class SwitchInterval:
    """The switch interval of a GIL became ``interval_ns`` at ``ts_ns``."""

    process: Index
    gil: GilIndex
    ts_ns: int
    interval_ns: int


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One C function that was called; ``call`` is the number that events carry, from 1 on.

    ``name`` is ``module.qualname`` as C knows it: ``posix.read``, ``_thread.lock.acquire``.
    """

    process: Index
    call: Index
    name: str


@dataclass(frozen=True, slots=True)
class SourceText:
    r"""Consecutive lines of a source file, joined by ``\n``; the first is number ``line``.

    ``filename`` is as in `CodeInfo`. A file may come in several pieces.
    """

    filename: str
    line: Index
    text: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a file descriptor of a process was when it was looked at, at ``ts_ns``.

    ``what`` is for people: ``tcp 127.0.0.1:41234 -> 10.0.0.5:5432``, ``pipe``, a path.
    """

    process: Index
    fd: Index
    ts_ns: int
    what: str


Record: TypeAlias = (
    SessionInfo
    | ProcessInfo
    | ThreadInfo
    | ThreadName
    | GilInfo
    | CodeInfo
    | Sample
    | ProcessEnd
    | End
    | SwitchInterval
    | CallInfo
    | SourceText
    | Descriptor
)

_CODE: Final = struct.Struct("<6I")
_SAMPLE_ROW: Final = 5


def encode(record: Record) -> bytes:
    """The payload of the frame of ``record``.

    Text may hold any code point, lone surrogates too: JSON escapes them.

    Raises:
        TypeError: a free-form field (``options``, ``schema``) holds what JSON has no form for.
        ValueError: the same, for a float that is not finite.
        struct.error: a number of a CodeInfo does not fit in 32 bits.
    """
    if isinstance(record, CodeInfo):
        return _encode_code(record)
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(kind: type[Record], payload: bytes) -> Record | None:
    """The record of type ``kind`` in ``payload``, or None if it is not one."""
    if kind is CodeInfo:
        return _decode_code(payload)
    try:
        values = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    arguments: dict[str, Any] = {}
    for name, check, required in _FIELDS[kind]:
        if name not in values:
            if required:
                return None
        elif check(values[name]):
            arguments[name] = values[name]
        else:
            return None
    return kind(**arguments)


def _encode_code(code: CodeInfo) -> bytes:
    filename = code.filename.encode("utf-8", "surrogatepass")
    qualname = code.qualname.encode("utf-8", "surrogatepass")
    head = _CODE.pack(
        code.process,
        code.code,
        code.firstlineno,
        len(filename),
        len(qualname),
        len(code.linetable),
    )
    return b"".join((head, filename, qualname, code.linetable))


def _decode_code(payload: bytes) -> CodeInfo | None:
    if len(payload) < _CODE.size:
        return None
    process, code, firstlineno, *lengths = _CODE.unpack_from(payload)
    filename_end = _CODE.size + lengths[0]
    qualname_end = filename_end + lengths[1]
    if len(payload) != qualname_end + lengths[2]:
        return None
    try:
        filename = payload[_CODE.size : filename_end].decode("utf-8", "surrogatepass")
        qualname = payload[filename_end:qualname_end].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return CodeInfo(process, code, firstlineno, filename, qualname, payload[qualname_end:])


def _is_int(value: object) -> bool:
    # bool is an int to Python, but not to this format; numpy columns have 64 bits.
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_index(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _is_gil_index(value: object) -> bool:
    return type(value) is int and 0 <= value <= GIL_MASK


def _is_row(value: object) -> bool:
    return isinstance(value, list) and len(value) == _SAMPLE_ROW and all(map(_is_int, value))


# Keyed by the annotation as written above, which `dataclasses.fields` reports as a string.
_CHECKS: Final[dict[str, Callable[[object], bool]]] = {
    "int": _is_int,
    "Index": _is_index,
    "GilIndex": _is_gil_index,
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "int | None": lambda value: value is None or _is_int(value),
    "list[str]": lambda value: (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    ),
    "list[list[int]]": lambda value: isinstance(value, list) and all(map(_is_row, value)),
    "dict[str, Any]": lambda value: isinstance(value, dict),
}


def _json_fields(kind: type[Record]) -> list[tuple[str, Callable[[object], bool], bool]]:
    return [
        (
            f.name,
            _CHECKS[str(f.type)],
            f.default is MISSING and f.default_factory is MISSING,
        )
        for f in fields(kind)
    ]


_FIELDS: Final[dict[type[Record], list[tuple[str, Callable[[object], bool], bool]]]] = {
    kind: _json_fields(kind)
    for kind in (
        SessionInfo,
        ProcessInfo,
        ThreadInfo,
        ThreadName,
        GilInfo,
        Sample,
        ProcessEnd,
        End,
        SwitchInterval,
        CallInfo,
        SourceText,
        Descriptor,
    )
}
