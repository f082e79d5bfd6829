"""Hand-offs: the GIL goes from one thread to another."""

from __future__ import annotations

import numpy as np

from giltrace.model.tables import Bool, Cause, Handoffs, Holds


def handed_off(holds: Holds) -> Bool:
    """Whether hold ``i`` ended in a hand-off to hold ``i + 1``, as bool [n - 1].

    It did if the next tenure of the same GIL is another thread's. When tenures are missing between
    the two nobody knows who came next; and a hold that recording cut off has not ended.
    """
    follows: Bool = holds.tenure[1:] == holds.tenure[:-1] + 1
    follows &= holds.gil[1:] == holds.gil[:-1]
    follows &= holds.thread[1:] != holds.thread[:-1]
    follows &= holds.cause[:-1] != Cause.NONE
    return follows


def handoffs(holds: Holds) -> Handoffs:
    """All hand-offs, in the order of the holds."""
    release = np.flatnonzero(handed_off(holds))
    acquire = release + 1
    return Handoffs(release, acquire, holds.start[acquire] - holds.end[release])
