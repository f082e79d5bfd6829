"""The 16-byte event record: kinds, flags and bit layout. No numpy here: the recorder imports it.

An event is two little-endian 64-bit words, ``ts`` (ns of CLOCK_MONOTONIC) and ``data``. From its
least significant bit ``data`` holds ``kind:4 flags:4 gil:8 payload:48``. The C twin of this module
is ``_core/events.h``.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple


class Kind(IntEnum):
    """What an event says. Readers skip and count the kinds they do not know."""

    ACQUIRE = 1
    """The thread acquired the GIL. Payload: tenure number."""
    RELEASE = 2
    """The thread released the GIL. Payload: ``code:16 lasti:16 call:16``."""
    WAIT = 3
    """The thread began to wait for the GIL. Payload: tenure number of the hold in the way."""
    DROP_REQUEST = 4
    """The waiter's switch interval ran out. Payload: tenure number of the hold to end."""
    FRAME = 5
    """Caller frames of the RELEASE before it. Payload: a frame word; ``ts``: the next one out."""
    LOST = 6
    """Payload: the number of events of this thread that found no room just before this one."""
    CPU = 7
    """The thread's CPU time. Payload: ns, of which the low 48 bits are left. It comes behind the
    ACQUIRE or RELEASE at which it was read and has the same time, but says nothing of a GIL."""
    DETAIL = 8
    """What the call of the RELEASE before it is about. Payload: a file descriptor; ``ts``: 0."""
    SPAN = 9
    """A Python function call that has ended; ``ts`` is when it began, so it is not in the order of
    time. Payload: ``code:16 depth:16 zero:16``; the outermost function has depth 1."""
    SPAN_END = 10
    """The SPAN right before it ended. Same payload."""
    PRIORITY = 11
    """The thread's priority from here on. Payload: a signed number of 32 bits."""


FLAG_SYNTHETIC: Final = 1
"""On ACQUIRE and RELEASE: recording began or stopped during the hold; it is no real switch."""
FLAG_AT_CHECK: Final = 2
"""On RELEASE: the instruction is a pure eval-breaker check point; no C call is in progress."""
FLAG_CALL: Final = 4
"""On RELEASE: made through PyEval_SaveThread, so by C code that lets go by itself."""
FLAG_EARLY: Final = 1
"""On DROP_REQUEST: made before the switch interval was over, because of a priority."""

EVENT_SIZE: Final = 16
KIND_BITS: Final = 4
FLAGS_SHIFT: Final = 4
FLAGS_BITS: Final = 4
GIL_SHIFT: Final = 8
GIL_BITS: Final = 8
PAYLOAD_SHIFT: Final = 16
PAYLOAD_BITS: Final = 48

KIND_MASK: Final = 0xF
FLAGS_MASK: Final = 0xF
GIL_MASK: Final = 0xFF
PAYLOAD_MASK: Final = (1 << PAYLOAD_BITS) - 1

# Fields of the payload of RELEASE; a frame word (see FRAME) is its low 32 bits.
CODE_SHIFT: Final = 0
LASTI_SHIFT: Final = 16
CALL_SHIFT: Final = 32
FIELD_MASK: Final = 0xFFFF
# The payload of SPAN and SPAN_END begins with the code too.
DEPTH_SHIFT: Final = 16
FD_MASK: Final = 0xFFFF_FFFF
"""What DETAIL uses of its payload."""

CODE_UNKNOWN: Final = 0
LASTI_UNKNOWN: Final = 0xFFFF
CALL_UNKNOWN: Final = 0

_EVENT = struct.Struct("<QQ")


class Event(NamedTuple):
    """One event, unpacked; for tests, examples and small tools, not for bulk work."""

    ts: int
    kind: int
    flags: int
    gil: int
    payload: int


def pack_data(kind: int, payload: int, *, flags: int = 0, gil: int = 0) -> int:
    """The ``data`` word of an event; values beyond their bit fields are cut off."""
    return (
        (kind & KIND_MASK)
        | (flags & FLAGS_MASK) << FLAGS_SHIFT
        | (gil & GIL_MASK) << GIL_SHIFT
        | (payload & PAYLOAD_MASK) << PAYLOAD_SHIFT
    )


def pack_place(code: int, lasti: int, call: int = CALL_UNKNOWN) -> int:
    """The payload of a RELEASE; without ``call`` it is also a frame word."""
    return (
        (code & FIELD_MASK) << CODE_SHIFT
        | (lasti & FIELD_MASK) << LASTI_SHIFT
        | (call & FIELD_MASK) << CALL_SHIFT
    )


def pack_span(code: int, depth: int) -> int:
    """The payload of a SPAN and of its SPAN_END."""
    return (code & FIELD_MASK) << CODE_SHIFT | (depth & FIELD_MASK) << DEPTH_SHIFT


def pack_event(ts: int, kind: int, payload: int, *, flags: int = 0, gil: int = 0) -> bytes:
    """One event as its 16 bytes.

    Raises:
        struct.error: ``ts`` does not fit in 64 unsigned bits.
    """
    return _EVENT.pack(ts, pack_data(kind, payload, flags=flags, gil=gil))


def unpack_event(raw: bytes | memoryview) -> Event:
    """The event in exactly 16 bytes.

    Raises:
        struct.error: ``raw`` is not 16 bytes long.
    """
    ts, data = _EVENT.unpack(raw)
    return Event(
        ts,
        data & KIND_MASK,
        data >> FLAGS_SHIFT & FLAGS_MASK,
        data >> GIL_SHIFT & GIL_MASK,
        data >> PAYLOAD_SHIFT,
    )


def schema() -> dict[str, Any]:
    """The layout above as plain data; the SESSION record carries it, so a file explains itself."""
    return {
        "event": {"size": EVENT_SIZE, "byteorder": "little", "words": ["ts:64", "data:64"]},
        "clock": "CLOCK_MONOTONIC ns",
        "data": [
            f"kind:{KIND_BITS}",
            f"flags:{FLAGS_BITS}",
            f"gil:{GIL_BITS}",
            f"payload:{PAYLOAD_BITS}",
        ],
        "kinds": {kind.name: int(kind) for kind in Kind},
        "payloads": {
            "ACQUIRE": ["tenure:48"],
            "RELEASE": ["code:16", "lasti:16", "call:16"],
            "WAIT": ["tenure:48"],
            "DROP_REQUEST": ["tenure:48"],
            "FRAME": ["code:16", "lasti:16", "zero:16"],
            "LOST": ["count:48"],
            "CPU": ["cpu_ns:48"],
            "DETAIL": ["fd:32", "zero:16"],
            "SPAN": ["code:16", "depth:16", "zero:16"],
            "SPAN_END": ["code:16", "depth:16", "zero:16"],
            "PRIORITY": ["priority:32", "zero:16"],
        },
        "flags": {
            "SYNTHETIC": FLAG_SYNTHETIC,
            "AT_CHECK": FLAG_AT_CHECK,
            "CALL": FLAG_CALL,
            "EARLY": FLAG_EARLY,
        },
    }
