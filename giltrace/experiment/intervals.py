"""Switch intervals as people write them: ``0.005``, ``5ms``, ``100us``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from giltrace.errors import GiltraceError

SHORTEST_S: Final = 1e-6
LONGEST_S: Final = 1000.0

_UNITS: Final = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_WRITTEN: Final = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-zµμ]*)", re.IGNORECASE)


def parse(texts: Iterable[str]) -> tuple[float, ...]:
    """Return the intervals in seconds, in the order given, each once.

    Args:
        texts: Each with one interval or several, separated by commas.

    Raises:
        GiltraceError: One of them is no interval, or out of range.
    """
    found = [_one(part.strip()) for text in texts for part in text.split(",")]
    return tuple(dict.fromkeys(found))


def _one(text: str) -> float:
    match = _WRITTEN.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    try:
        seconds = float(match[1]) * unit if match and unit else None
    except ValueError:
        seconds = None
    if seconds is None:
        raise GiltraceError(
            f"'{text}' is no switch interval",
            "Write seconds or a unit, several with commas: 0.005 or 5ms or 10ms,5ms,100us.",
            exit_code=2,
        )
    # Rounded to ns, so that 5ms and 0.005 are the same key.
    seconds = round(seconds, 9)
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise GiltraceError(
            f"a switch interval of {text} is out of range",
            f"It may be from {show(SHORTEST_S)} to {show(LONGEST_S)}.",
            exit_code=2,
        )
    return seconds


def show(seconds: float) -> str:
    """Return an interval for people: ``5 ms``."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, scale = next((pair for pair in units if seconds >= pair[1]), units[-1])
    return f"{seconds / scale:.6g} {unit}"


def label(seconds: float) -> str:
    """Return an interval for file names: ``5ms``."""
    return show(seconds).replace(" ", "").replace("µ", "u")
