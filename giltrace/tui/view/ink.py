"""The inks of a picture: numbers that a palette turns into colours."""

from __future__ import annotations

from typing import Final

from giltrace.analysis.timeline.state import STATES

THREADS: Final = 8
"""Colours for threads in the GIL's lane; more threads than that share them."""

PLAIN: Final = 0
"""The terminal's own, or the theme's. So is the solid ink of `State.NONE`."""
TINT: Final = STATES
"""With a `State` added: its tint, which is behind bars and labels. Without: its solid ink."""
THREAD: Final = 2 * STATES
"""With the number of a thread's colour added, up to `THREADS`."""
SELECTED: Final = THREAD + THREADS
FAINT: Final = SELECTED + 1
ACCENT: Final = FAINT + 1
INKS: Final = ACCENT + 1


def thread_ink(colour: int) -> int:
    """The ink of a thread."""
    return THREAD + colour % THREADS
