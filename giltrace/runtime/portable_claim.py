"""One thread at a time, for what the threads of a portable recording share.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import os
import struct

from giltrace.runtime import portable_signals
from giltrace.runtime.portable_threads import Thread

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

OUR_ERRORS = (
    *(AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    struct.error,
)


class Claim:
    """Who has it may write. Nobody waits for it."""

    def __init__(self, ours: Collection[int], fail: Callable[[Exception], None]) -> None:
        """Nobody has it.

        Args:
            ours: ids of the globals of functions that errors may be our own in.
            fail: what to do about such an error.
        """
        self._pid = os.getpid()
        self._ours = ours
        self._fail = fail
        self._claimed: dict[int, object] = {}

    def exclusively(self, me: Thread, action: Callable[..., None], *args: object) -> bool:
        """Do something in this thread, unless another one has the claim: then this says False."""
        if os.getpid() != self._pid:
            return True  # the child of a fork that has not come to `abandon`: this is its parent's
        held_back = False
        try:
            if me.takes_signals:
                portable_signals.hold_back()
                held_back = True
            # A dictionary does this at one stroke. If an exception kept a thread from giving its
            # claim back, it still has it the next time.
            if self._claimed.setdefault(0, me) is not me:
                return False
            action(me, *args)
        except Exception as error:
            # Signal handlers of the target run in here, too, and may raise.
            if not self._is_own(error):
                raise
            self._fail(error)
        finally:
            if self._claimed.get(0) is me:
                self._claimed.clear()
            if held_back:
                portable_signals.let_through(me.ident)
        return True

    def revoke(self) -> None:
        """Take the claim from whoever has it."""
        self._claimed.clear()

    def _is_own(self, error: BaseException) -> bool:
        """Whether an error arose here, and not in a signal handler that ran meanwhile."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        here = trace is not None and id(trace.tb_frame.f_globals) in self._ours
        return here and isinstance(error, OUR_ERRORS)
