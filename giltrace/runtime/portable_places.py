"""Where threads are when somebody else is seen to run, for the portable back end.

CPython shows every thread's frames to any other. PyPy does so too, but to look at the frames of a
thread in the middle of compiled code has aborted it (seen in 7.3.11: AssertionError in
``handle_async_forcing``). There, each thread leaves word of where it is, from its own frame alone.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import _thread
import sys
import threading
from types import FrameType

from giltrace.runtime import portable_threads
from giltrace.runtime.portable_names import Names
from giltrace.runtime.portable_threads import Thread

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from collections.abc import Collection

    Frames = dict[int, FrameType]


class Shown:
    """From the frames of all threads: the place is exact, also of a thread made to let go."""

    left_by_threads = False

    def __init__(self, names: Names, stacks: int, ours: Collection[int]) -> None:
        """Know how to look.

        Args:
            names: numbers for code objects.
            stacks: how many frames to give for a place.
            ours: ids of the globals of functions that no place is to be in.
        """
        self._names = names
        self._stacks = stacks
        self._ours = ours

    def look(self) -> Frames:
        """What the other methods want to know of this moment."""
        return sys._current_frames()

    def has_ended(self, thread: Thread, frames: Frames) -> bool:
        """Whether there is no such thread any more."""
        return thread.ident not in frames

    def is_calling(self, thread: Thread, frames: Frames) -> bool:
        """Whether a thread that has not ended is inside the C function that it called last."""
        # Inside our functions it can only have been made to let go, as outside of a call.
        return thread.call is not None and id(frames[thread.ident].f_globals) not in self._ours

    def of(self, thread: Thread, frames: Frames) -> list[int]:
        """Frame words of where a thread is, the innermost first; none if it has ended."""
        return self.own(frames.get(thread.ident))

    def own(self, frame: FrameType | None) -> list[int]:
        """The same for a frame, which here may be any thread's."""
        while frame is not None and id(frame.f_globals) in self._ours:
            frame = frame.f_back
        return self._names.words(frame, self._stacks)

    def are_strange(self) -> bool:
        """Whether there are threads that `threading` has not started."""
        return portable_threads.strangers(sys._current_frames())


class Left:
    """From what threads have left word of.

    Exact for one that is in a call to a C function. Of one that was made to let go the function is
    known, but not the line.
    """

    left_by_threads = True

    def __init__(self, names: Names, stacks: int, ours: Collection[int]) -> None:
        """The same as in `Shown`; nothing of ours is ever left word of."""
        self._names = names
        self._stacks = stacks
        self._were_strange = False

    def look(self) -> Frames:
        """Nothing."""
        return {}

    def has_ended(self, thread: Thread, frames: Frames) -> bool:
        """Whether there is no such thread any more, as far as `threading` knows."""
        # Its id may be another's by now.
        known = threading._active  # type: ignore[attr-defined]
        return thread.ident == threading.get_ident() or thread.ident not in known

    def is_calling(self, thread: Thread, frames: Frames) -> bool:
        """Whether a thread that has not ended is inside the C function that it called last."""
        return thread.call is not None

    def of(self, thread: Thread, frames: Frames) -> list[int]:
        """Frame words of where a thread is, the innermost first; the line may be unknown."""
        if thread.call is None:
            return [self._names.word(code, -1) for code in thread.functions[-1:]]
        return [self._names.word(code, lasti) for code, lasti in (thread.at, *thread.callers)]

    def own(self, frame: FrameType | None) -> list[int]:
        """The words of a frame, which must be of the calling thread."""
        return self._names.words(frame, self._stacks)

    def are_strange(self) -> bool:
        """Whether there are threads that `threading` has not started, now and the last time."""
        known = len(threading._active) + len(threading._limbo)  # type: ignore[attr-defined]
        were, self._were_strange = self._were_strange, _thread._count() > known - 1
        # One that is about to end is no more known to `threading`: it is gone the next time.
        return were and self._were_strange


def choose(names: Names, stacks: int, ours: Collection[int]) -> Shown | Left:
    """What serves in this interpreter."""
    kind = Left if sys.implementation.name == "pypy" else Shown
    return kind(names, stacks, ours)
