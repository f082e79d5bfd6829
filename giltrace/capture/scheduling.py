"""What the kernel did with threads, in 16-byte rows. No numpy here: the recorder imports it.

A row is two little-endian 64-bit words, ``ts`` (ns of CLOCK_MONOTONIC) and ``data``. From its least
significant bit ``data`` holds ``what:8 zero:8 cpu:16 tid:32``. Rows of one CPU are in the order of
time, those of several are not. The C twin of this module is ``_core/sched.h``.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, Literal, TypeAlias, get_args

Recorded: TypeAlias = Literal["off", "switches", "wakeups"]
"""How much of it is in a capture: nothing, all but when threads were woken, or all."""
RECORDED: Final[tuple[Recorded, ...]] = get_args(Recorded)


class What(IntEnum):
    """What happened to a thread. Readers skip what they do not know."""

    RUNS = 1
    """It was put on a CPU."""
    SLEEPS = 2
    """It left its CPU with nothing to do."""
    PREEMPTED = 3
    """It left its CPU with more to do: the kernel took it away, or it yielded."""
    WOKEN = 4
    """It has something to do again, and waits for a CPU."""
    STARTED = 5
    """It was made, and waits for a CPU."""
    ENDED = 6
    LOST = 7
    """So many rows of this CPU (instead of ``tid``) found no room before this one."""


ROW_SIZE: Final = 16
WHAT_MASK: Final = 0xFF
CPU_SHIFT: Final = 16
CPU_MASK: Final = 0xFFFF
TID_SHIFT: Final = 32
MOST_LOST: Final = (1 << 32) - 1
"""What one LOST row can count."""

_ROW = struct.Struct("<QQ")


def pack_row(ts: int, what: int, tid: int, *, cpu: int = 0) -> bytes:
    """One row as its 16 bytes; values beyond their bit fields are cut off.

    Raises:
        struct.error: ``ts`` does not fit in 64 unsigned bits.
    """
    data = what & WHAT_MASK | (cpu & CPU_MASK) << CPU_SHIFT | (tid & MOST_LOST) << TID_SHIFT
    return _ROW.pack(ts, data)
