"""What a flight recorder keeps, and what makes it write a capture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from giltrace.errors import GiltraceError

_SPAN: Final = re.compile(r"(wait|hold)\s*>\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|µs|ms|s)")
_UNIT_NS: Final = {"us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_SIGNAL: Final = "signal"


@dataclass(frozen=True)
class Triggers:
    """When to write a capture.

    Attributes:
        wait_ns: when a wait for the GIL has taken longer; None: whatever they take.
        hold_ns: when a hold has.
        signal: when the recorder gets SIGUSR1.
    """

    wait_ns: int | None = None
    hold_ns: int | None = None
    signal: bool = False

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self != Triggers()

    @classmethod
    def parse(cls, text: str) -> Triggers:
        """Triggers from ``wait>20ms|hold>50ms|signal``.

        Raises:
            GiltraceError: it says something else.
        """
        found: dict[str, int] = {}
        for word in filter(None, (word.strip() for word in text.split("|"))):
            if word == _SIGNAL:
                found[_SIGNAL] = 1
            elif match := _SPAN.fullmatch(word):
                kind, number, unit = match.groups()
                found[kind] = round(float(number) * _UNIT_NS[unit])
            else:
                raise GiltraceError(
                    f"there is no trigger {word!r}",
                    "Triggers are wait>20ms, hold>50ms and signal; join several with |.",
                    exit_code=2,
                )
        return cls(found.get("wait"), found.get("hold"), _SIGNAL in found)


@dataclass(frozen=True)
class Flight:
    """How to keep and when to write.

    Attributes:
        span_ns: how much of the past to keep.
        triggers: when to write a capture; none: at the end.
        cool_down_ns: after one was written, nothing triggers for so long.
        keep: how many captures to keep; the oldest goes first.
    """

    span_ns: int
    triggers: Triggers = field(default_factory=Triggers)
    cool_down_ns: int = 60_000_000_000
    keep: int = 10
