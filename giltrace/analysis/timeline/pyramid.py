"""How long each lane was in each state in each cell, exactly, at any scale and in no time.

Two levels do: the sums up to every 32nd step, and the steps themselves. What lies between an edge
and the step of the upper level before it are 31 steps at most, so a query costs the same whether a
cell covers a microsecond or an hour, and no cell is an estimate: a wait of one nanosecond in an
hour of other things is one nanosecond of waiting in its cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from giltrace.analysis.timeline.state import STATES
from giltrace.analysis.timeline.steps import Steps
from giltrace.model.tables import I8

_BLOCK: Final = 32
_BUILD: Final = _BLOCK << 15
_LANES: Final = 64
"""Lanes that are looked at together: with a screen's width of edges they fit in the cache."""


class Pyramid:
    """Sums over the steps of lanes."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._blocks = _block_sums(steps)
        # Sums run through all lanes, so those of a lane begin at what came before it.
        self._base = self._up_to(steps.bounds[:-1])

    def cells(self, lanes: Sequence[int] | I8, edges: I8) -> I8:
        """How long each of some lanes was in each state between each two edges.

        Args:
            lanes: which lanes.
            edges: int64 [cells + 1], ascending times.

        Returns:
            int64 [lanes, cells, states], in ns. What is not on record counts for no state: in a
            cell `State.NONE` always is 0.
        """
        wanted = np.asarray(lanes, np.int64)
        found = np.zeros((len(wanted), max(0, len(edges) - 1), STATES), np.int64)
        for first in range(0, len(wanted), _LANES):
            some = slice(first, first + _LANES)
            found[some] = np.diff(self._before(wanted[some], edges), axis=1)
        return found

    def _before(self, lanes: I8, edges: I8) -> I8:
        """int64 [lanes, edges, states]: time in each state before each edge."""
        steps = self._steps
        at = np.empty((len(lanes), len(edges)), np.int64)
        for row, lane in enumerate(lanes.tolist()):
            first, last = steps.bounds[lane], steps.bounds[lane + 1]
            at[row] = first - 1 + steps.start[first:last].searchsorted(edges, side="right")
        began = at >= steps.bounds[lanes][:, None]
        step = np.maximum(at, steps.bounds[lanes][:, None]).ravel()
        found = self._up_to(step).reshape(*at.shape, STATES)
        found -= self._base[lanes][:, None]
        # The step that the edge is in, up to the edge.
        into = np.maximum(np.tile(edges, len(lanes)) - steps.start[step], 0)
        into[~began.ravel()] = 0
        flat = found.reshape(-1, STATES)
        flat[np.arange(len(step)), steps.state[step]] += into
        found[:, :, 0] = 0
        return found

    def _up_to(self, step: I8) -> I8:
        """int64 [n, states]: time in each state in all steps before each of these."""
        block = step // _BLOCK
        found = self._blocks[block]
        index = (block * _BLOCK)[:, None] + np.arange(_BLOCK)
        inside = index < step[:, None]
        # Only what is inside is looked at: its next step exists.
        row = np.repeat(np.arange(len(step)), np.count_nonzero(inside, axis=1))
        index = index[inside]
        ns = self._steps.start[index + 1] - self._steps.start[index]
        np.add.at(found.reshape(-1), row * STATES + self._steps.state[index], ns)
        return found


def _block_sums(steps: Steps) -> I8:
    """int64 [blocks + 1, states]: time in each state in all steps before each block.

    The last step of a lane is NONE, and whatever "until the next one" means there, that state is
    not looked at; so lanes need not be told apart.
    """
    count = len(steps.start)
    sums = np.zeros((count // _BLOCK + 2, STATES), np.int64)
    flat = sums[1:].reshape(-1)
    for first in range(0, count - 1, _BUILD):
        last = min(first + _BUILD, count - 1)
        ns = np.diff(steps.start[first : last + 1])
        block = np.arange(first, last) // _BLOCK
        np.add.at(flat, block * STATES + steps.state[first:last], ns)
    np.cumsum(sums, axis=0, out=sums)
    return sums
