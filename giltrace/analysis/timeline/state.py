"""The states of a lane: what a thread does with regard to one GIL."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from giltrace.model.calls import OffKind
from giltrace.model.tables import U1


class State(IntEnum):
    """What a thread does with regard to one GIL, in the order of how much it matters.

    Where there is room for one state only, the greatest is shown.
    """

    NONE = 0
    """Not on record: before its first hold or wait, after its last, or events were lost."""
    UNKNOWN = 1
    """Off the GIL, and nothing tells what it did."""
    SLEEP = 2
    """Off the GIL, letting time pass."""
    LOCK = 3
    """Off the GIL, waiting for another thread."""
    BLOCKED = 4
    """Off the GIL in I/O."""
    NATIVE = 5
    """Off the GIL and computing."""
    SWITCHING = 6
    """Off the GIL because it was made to let go, and not asking for it yet."""
    HOLDING = 7
    """Holding the GIL."""
    HELD_IDLE = 8
    """Holding the GIL without running for most of the hold."""
    WAITING = 9
    """Waiting for the GIL."""

    @property
    def is_off(self) -> bool:
        """Off the GIL."""
        return State.UNKNOWN <= self <= State.SWITCHING

    @property
    def is_held(self) -> bool:
        """Holding the GIL, running or not."""
        return self in {State.HOLDING, State.HELD_IDLE}


STATES: Final = len(State)

OF_KIND: Final[U1] = np.zeros(len(OffKind), np.uint8)
"""The `State` of each `OffKind`."""
for _kind, _state in (
    (OffKind.UNKNOWN, State.UNKNOWN),
    (OffKind.BLOCKED, State.BLOCKED),
    (OffKind.SLEEP, State.SLEEP),
    (OffKind.LOCK, State.LOCK),
    (OffKind.NATIVE, State.NATIVE),
    (OffKind.SWITCH, State.SWITCHING),
):
    OF_KIND[_kind] = _state
OF_KIND.setflags(write=False)
