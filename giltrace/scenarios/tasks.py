"""Three kinds of CPU work that treat the GIL differently, for `giltrace.scenarios.measures`.

``pidigits`` is plain Python, which lets go of the GIL at any instruction it is asked to.
``regex`` spends milliseconds in one C call that holds the GIL throughout. ``bz2`` spends
milliseconds in one C call that has let go of it.
"""

from __future__ import annotations

import re
from typing import Callable, List

from giltrace.scenarios.errors import ScenarioError

TASKS = ("pidigits", "regex", "bz2")
"""Names of the tasks."""

_DIGITS = 60
_WORDS = 3000
_BZ2_BYTES = 60_000

Step = Callable[[], object]
"""A call that does one unit of a task: from one to some tens of milliseconds of work."""


def step(task: str) -> Step:
    """Return the step of a task.

    Raises:
        ScenarioError: There is no such task, or it cannot run on this interpreter.
    """
    if task == "pidigits":
        return lambda: pidigits(_DIGITS)
    if task == "regex":
        return _regex()
    if task == "bz2":
        return _bz2()
    raise ScenarioError(f"there is no task named {task!r}", f"Choose one of: {', '.join(TASKS)}.")


def pidigits(count: int) -> str:
    """Return the first digits of pi, by Gibbons' unbounded spigot."""
    digits: List[str] = []
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while len(digits) < count:
        if 4 * q + r - t < n * t:
            digits.append(str(n))
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            n = (q * (7 * k + 2) + r * m) // (t * m)
            q, r, t, k, m = q * k, (2 * q + r) * m, t * m, k + 1, m + 2
    return "".join(digits)


def text(words: int) -> str:
    """Return that many pseudo-random words, the same at every call."""
    letters = "etaoinshrdlucmfw"
    state = 1
    found = []
    for _ in range(words):
        word = ""
        for _ in range(3 + state % 6):
            state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
            word += letters[state >> 27]
        found.append(word)
    return " ".join(found)


def _regex() -> Step:
    # Lazy parts that have to look far ahead: slow to match, and one call of the C engine.
    pattern = re.compile(r"\b(\w+)\s(?:\w+\s){0,12}?(\w*th)\b")
    corpus = text(_WORDS)
    return lambda: pattern.sub(r"\2 \1", corpus)


def _bz2() -> Step:
    try:
        import bz2
    except ImportError:
        raise ScenarioError(
            "the bz2 task needs the bz2 module, which this interpreter was built without",
            "Choose another task.",
        ) from None
    data = text(_BZ2_BYTES // 6).encode("ascii")[:_BZ2_BYTES]
    return lambda: bz2.compress(data)
