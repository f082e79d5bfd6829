"""How waits ended: what became of the hold that was in the way."""

from __future__ import annotations

import numpy as np

from giltrace.model import Cause, Trace
from giltrace.model.tables import I1, I8


def endings(trace: Trace, waits: I8) -> I1:
    """int8 [n]: the `Cause` of the release that ended each wait.

    NONE is a wait that never acquired, as far as is known. UNKNOWN is also a wait before whose
    acquire another hold is missing from the record.

    Args:
        trace: the trace.
        waits: int64 [n], indices into ``trace.waits``.
    """
    holds = trace.holds
    acquired = trace.waits.hold[waits]
    found = np.full(len(waits), Cause.NONE, np.int8)
    ended = np.flatnonzero(acquired >= 0)
    after = acquired[ended]
    before = np.maximum(after - 1, 0)
    proven = (after > 0) & (holds.gil[before] == holds.gil[after])
    # A gap in the tenures: who held it in between is not on record.
    proven &= holds.tenure[before] + 1 == holds.tenure[after]
    proven &= holds.thread[before] != holds.thread[after]
    proven &= holds.cause[before] != Cause.NONE
    found[ended] = np.where(proven, holds.cause[before], Cause.UNKNOWN)
    return found
