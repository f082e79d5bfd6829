"""Numbers as a person reads them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))
_MINUTE_NS: Final = 60_000_000_000
_FULL: Final = 1000


def duration(ns: int) -> str:
    """``ns`` with its unit and three digits at most: ``850 ns``, ``5.1 ms``, ``3 min 5 s``.

    Whole numbers of a unit, such as most settings, stay whole: ``5 ms``.
    """
    if ns < 0:
        return f"-{duration(-ns)}"
    if ns >= 2 * _MINUTE_NS:
        return _long(ns)
    for unit, scale in _UNITS[:-1]:
        text = _digits(ns, scale)
        # 999,960 ns are not "1000 µs" but "1.0 ms".
        if float(text) < _FULL:
            return f"{text} {unit}"
    unit, scale = _UNITS[-1]
    return f"{_digits(ns, scale)} {unit}"


def _long(ns: int) -> str:
    minutes, seconds = divmod(round(ns / 1_000_000_000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def _digits(ns: int, scale: int) -> str:
    if ns % scale == 0:
        return str(ns // scale)
    value = ns / scale
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def share(part: float, whole: float) -> str:
    """``part`` of ``whole`` in per cent; only all is ``100 %`` and only nothing is ``0 %``."""
    if whole <= 0 or part <= 0:
        return "0 %"
    ratio = 100 * part / whole
    if ratio < 1:
        return "<1 %"
    if 99 < ratio < 100:
        return "99 %" if ratio < 99.5 else ">99 %"
    return f"{ratio:.0f} %"


def count(number: int, noun: str) -> str:
    """``1 wait``, ``1,204 waits``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def times(number: int) -> str:
    """``once``, ``twice``, ``1,204 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def signed(number: int) -> str:
    """A number that is more or less than usual: ``+1``, ``-1``, ``0``."""
    return f"{number:+d}" if number else "0"
