"""Pictures of lanes, character by character.

Each cell shows the state that matters most, as a bar from the bottom that is as high as its share
of the cell's time, and never without height; behind it is the state that takes most of the rest. So
a short wait is seen at any scale, and a long one is seen to be long. Without colours every state
has a character of its own instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.analysis.timeline.state import STATES, State
from giltrace.model.tables import I8, U4, Bool
from giltrace.tui.source import Holders
from giltrace.tui.view.ink import PLAIN, THREAD, THREADS, TINT

BARS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = 8
_BAR: Final = np.array([ord(char) for char in BARS], np.uint32)

GLYPHS: Final[dict[State, str]] = {
    State.NONE: " ",
    State.UNKNOWN: "·",
    State.SLEEP: "┄",
    State.LOCK: "═",
    State.BLOCKED: "─",
    State.NATIVE: "≈",
    State.SWITCHING: "╌",
    State.HOLDING: "█",
    State.HELD_IDLE: "▒",
    State.WAITING: "X",
}
"""The character of each state where there are no colours."""
LITTLE_WAITING: Final = "x"
"""That of a cell with less waiting than half."""
_GLYPH: Final = np.array([ord(GLYPHS[state]) for state in State], np.uint32)
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What stands for threads in the GIL's lane where there are no colours."""
_LETTER: Final = np.array([ord(char) for char in LETTERS], np.uint32)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """Some rows of characters, the top one first.

    Attributes:
        char: uint32 [rows, cells], code points, each one cell wide.
        ink: int64 [rows, cells], number of the colour of the character.
        paper: int64 [rows, cells], of what is behind it.
    """

    char: U4
    ink: I8
    paper: I8


def blank(rows: int, cells: int) -> Picture:
    """Nothing."""
    ink = np.full((rows, cells), PLAIN, np.int64)
    return Picture(np.full((rows, cells), ord(" "), np.uint32), ink, ink.copy())


def thread_lane(cells: I8, width_ns: I8, rows: int, *, colours: bool) -> Picture:
    """The lane of a thread.

    Args:
        cells: int64 [cells, states], ns, as from `Source.cells`.
        width_ns: int64 [cells], the length of each cell.
        rows: how many rows high.
        colours: use them.
    """
    top, behind = _states(cells)
    share = cells[np.arange(len(cells)), top]
    level = _levels(share, width_ns, rows)
    level[top < State.HOLDING] = 0
    if not colours:
        char = _GLYPH[top]
        char[(top == State.WAITING) & (2 * share < width_ns)] = ord(LITTLE_WAITING)
        return _in_characters(char, top == State.HOLDING, _GLYPH[behind], level, rows)
    picture = blank(rows, len(cells))
    picture.paper[:] = np.where(behind >= State.HOLDING, behind, TINT + behind)
    picture.paper[:, behind == State.NONE] = PLAIN
    _bars(picture, level, top)
    _fill(picture)
    return picture


def gil_lane(holders: Holders, colour: I8, width_ns: I8, rows: int, *, colours: bool) -> Picture:
    """The GIL's lane: a bar as high as it was held, in the colour of who held it most.

    Args:
        holders: who held it.
        colour: int64 [cells], number of the colour of the holder.
        width_ns: int64 [cells], the length of each cell.
        rows: how many rows high.
        colours: use them; or else letters, capital ones where it was held for most of the time.
    """
    picture = blank(rows, len(width_ns))
    level = _levels(holders.held_ns, width_ns, rows)
    _bars(picture, level, THREAD + colour % THREADS)
    if colours:
        _fill(picture)
    else:
        picture.ink[:] = PLAIN
        letter = _LETTER[colour % len(LETTERS)]
        small = 2 * holders.held_ns < width_ns
        letter[small] += ord("a") - ord("A")
        picture.char[:] = np.where(picture.char == ord(" "), picture.char, letter)
    return picture


def bars(values: I8, greatest: int, rows: int, ink: int) -> Picture:
    """A bar chart: one value a cell."""
    picture = blank(rows, len(values))
    _bars(picture, _levels(values, np.full(len(values), max(1, greatest)), rows), ink)
    _fill(picture)
    return picture


def _states(cells: I8) -> tuple[I8, I8]:
    """int64 [cells], int64 [cells]: the state that matters most, and the one most of the rest."""
    present = cells > 0
    top = STATES - 1 - np.argmax(present[:, ::-1], axis=1)
    top[~present.any(axis=1)] = State.NONE
    # Off the GIL all states are alike important: what takes longest is shown.
    off = cells[:, : State.HOLDING]
    is_off = top < State.HOLDING
    top[is_off] = np.argmax(off[is_off], axis=1)
    rest = cells.copy()
    rest[np.arange(len(cells)), np.where(is_off, State.NONE, top)] = 0
    behind = np.argmax(rest, axis=1)
    return top, behind


def _levels(share: I8, width_ns: I8, rows: int) -> I8:
    """int64 [cells]: the height of bars in eighths of a row; 0 only for nothing."""
    most = _EIGHTHS * rows
    whole = np.maximum(width_ns, 1)
    level = np.clip((share * (2 * most) + whole) // (2 * whole), 1, most)
    return np.where(share > 0, level, 0)


def _bars(picture: Picture, level: I8, ink: I8 | int) -> None:
    rows = len(picture.char)
    for row in range(rows):
        here = np.clip(level - _EIGHTHS * (rows - 1 - row), 0, _EIGHTHS)
        picture.char[row] = _BAR[here]
        picture.ink[row] = np.where(here > 0, ink, PLAIN)


def _fill(picture: Picture) -> None:
    """Make full cells of paper, which has no seams in any terminal."""
    full = picture.char == ord(BARS[-1])
    picture.paper[full] = picture.ink[full]
    picture.ink[full] = PLAIN
    picture.char[full] = ord(" ")


def _in_characters(char: U4, is_bar: Bool, behind: U4, level: I8, rows: int) -> Picture:
    """Bars of the characters of states instead of colours."""
    picture = blank(rows, len(char))
    _bars(picture, level, PLAIN)
    for line in picture.char:
        own = ~is_bar & (line != ord(" "))
        line[own] = char[own]
    free = picture.char[-1] == ord(" ")
    picture.char[-1][free] = behind[free]
    return picture
