"""Why each hold ended, and only where the record proves it."""

from __future__ import annotations

import numpy as np

from giltrace.capture.events import FLAG_AT_CHECK, FLAG_CALL, FLAG_SYNTHETIC
from giltrace.model.dense import rows_of
from giltrace.model.drafts import Draft
from giltrace.model.tables import I1, I8, U1, Bool, Cause


def causes(draft: Draft, blind: I8, asked: I8, flags: U1) -> I1:
    """int8: the `Cause` of each hold's end.

    Args:
        draft: the holds.
        blind: stretches in which events were lost, as in `Lanes`.
        asked: the holds that drop requests name, in any order.
        flags: of each hold's release; anything where there is none.
    """
    requested = np.zeros(len(draft), np.bool_)
    requested[asked] = True
    # Without a number no request can name it, so nothing is known about requests.
    doubtful = _blind(draft, blind) | (draft.tenure < 0)
    cause = np.full(len(draft), Cause.VOLUNTARY, np.int8)
    cause[doubtful | requested] = Cause.UNKNOWN
    cause[requested & ((flags & FLAG_AT_CHECK) != 0)] = Cause.FORCED
    # Also at a check: CPython 3.12 and later collect garbage there, and a finalizer may let go.
    cause[(flags & FLAG_CALL) != 0] = Cause.VOLUNTARY
    cause[(flags & FLAG_SYNTHETIC) != 0] = Cause.NONE
    cause[draft.release < 0] = Cause.UNKNOWN
    cause[draft.open] = Cause.NONE
    return cause


def undecided(cause: I1) -> I1:
    """The same without what only a record of drop requests can tell, where there is none."""
    return np.where(cause == Cause.VOLUNTARY, np.int8(Cause.UNKNOWN), cause)


def _blind(draft: Draft, blind: I8) -> Bool:
    """Bool: events were lost during the hold, among them perhaps a drop request for it."""
    if len(blind) == 0:
        return np.zeros(len(draft), np.bool_)
    change = np.zeros(len(draft) + 1, np.int64)
    for gil in np.unique(blind[:, 0]).tolist():
        first, last = rows_of(draft.gil, gil)
        stretches = blind[blind[:, 0] == gil]
        # Strictly inside: the loser's own hold right before or after is not what it asked to end.
        begin = np.searchsorted(draft.end[first:last], stretches[:, 1], side="right") + first
        finish = np.searchsorted(draft.start[first:last], stretches[:, 2]) + first
        some = begin < finish
        np.add.at(change, begin[some], 1)
        np.add.at(change, finish[some], -1)
    return np.cumsum(change[:-1]) > 0
