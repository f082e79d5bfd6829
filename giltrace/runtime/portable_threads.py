"""The threads of a process that records itself through the portable back end.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import sys
import threading
import time
from types import CodeType, FrameType

from giltrace.runtime import portable_signals

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from typing import Any

_NAME_CHARACTERS = 255
# Readings of two clocks of the same thing, right after one another, are no further apart.
_SAME_CLOCK_NS = 10_000_000


class Thread:
    """What is known about a thread.

    Attributes:
        index: its number in the capture.
        ident: as from `threading.get_ident`; ``tid`` is the kernel's id.
        told: its name as the recorder knows it; ``told_ns`` is when that was last looked at.
        call: the C function it called last, unless that has returned or called Python code.
        at: where that call is, as code object and offset, and ``callers`` the same further out:
            where threads leave word of it (see `portable_places`).
        functions: the code objects it is in, the innermost last; also only there.
        since: when it did; after the return, when that was.
        takes_signals: whether handlers of signals run in it and can be held back.
        wants: it has let go outside of any C call: it takes the GIL back as soon as it can.
    """

    __slots__ = (
        "_clock",
        "_cpu_ns",
        "at",
        "call",
        "callers",
        "functions",
        "ident",
        "index",
        "since",
        "takes_signals",
        "tid",
        "told",
        "told_ns",
        "wants",
    )

    def __init__(self, index: int, now: int) -> None:
        """Meet the calling thread."""
        self.index = index
        self.ident = threading.get_ident()
        self.tid = threading.get_native_id()
        self.told: str | None = None
        self.told_ns = 0
        self.call: Any = None
        self.at: tuple[CodeType, int] = (Thread.__init__.__code__, -1)
        self.callers: list[tuple[CodeType, int]] = []
        self.functions: list[CodeType] = []
        self.since = now
        self.wants = False
        self.takes_signals = portable_signals.can_be_held_back()
        self._clock = _cpu_clock(self.ident, self.tid)
        self._cpu_ns = 0

    def ran_ns(self) -> int:
        """For how long it has computed since this was asked last; -1 if it has ended.

        0 where nobody can tell.
        """
        if self._clock is None:
            return 0
        try:
            cpu_ns = time.clock_gettime_ns(self._clock)
        except OSError:
            return -1
        ran, self._cpu_ns = cpu_ns - self._cpu_ns, cpu_ns
        return ran

    def name(self) -> str:
        """What `threading` calls it, cut to a reasonable length; ``""`` if it does not."""
        known = threading._active.get(self.ident)  # type: ignore[attr-defined]
        # The attribute, because `name` may be anything in a subclass.
        return str(getattr(known, "_name", ""))[:_NAME_CHARACTERS]


def strangers(frames: dict[int, FrameType]) -> bool:
    """Whether any of these threads, by ident, has not been started by `threading`."""
    known = threading._active  # type: ignore[attr-defined]
    for ident, frame in frames.items():
        thread = known.get(ident)
        if thread is None and _outermost(frame).f_code.co_name == "_bootstrap":
            continue  # it is about to end
        if thread is None or isinstance(thread, threading._DummyThread):
            return True
    return False


def callers(frame: FrameType, most: int) -> list[tuple[CodeType, int]]:
    """Who has called the function of a frame of this thread, and so on: code and offset."""
    found: list[tuple[CodeType, int]] = []
    outer = frame.f_back
    while outer is not None and len(found) < most:
        found.append((outer.f_code, outer.f_lasti))
        outer = outer.f_back
    return found


def _outermost(frame: FrameType) -> FrameType:
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def _cpu_clock(ident: int, tid: int) -> int | None:
    """The CPU clock of the calling thread that other threads can read, or None."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.pthread_getcpuclockid(ident)
    if not sys.platform.startswith("linux") or not hasattr(time, "clock_gettime_ns"):
        return None
    clock = ~tid << 3 | 6  # as in the kernel's posix-timers: per thread, of the scheduler
    try:
        apart = time.thread_time_ns() - time.clock_gettime_ns(clock)
    except OSError:
        return None
    return clock if abs(apart) < _SAME_CLOCK_NS else None
