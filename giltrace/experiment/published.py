"""The figures of the talk, to stand beside ours.

David Beazley, "Embracing the GIL", PyCon 2012: Python 3.2 on a large EC2 machine; 10,000 messages
of 8,192 bytes, about 1 ms of sleep before each; one CPU-bound thread in the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MESSAGES: Final = 10_000
SOURCE: Final = "David Beazley, Embracing the GIL, PyCon 2012 (Python 3.2)"


@dataclass(frozen=True)
class Published:
    """What the talk says of one server.

    Attributes:
        alone_s: Seconds for all messages, without the CPU thread.
        loaded_s: The same with it.
    """

    alone_s: float
    loaded_s: float

    @property
    def slowdown(self) -> float:
        """The one over the other."""
        return self.loaded_s / self.alone_s


TALK: Final = {
    "c-zmq": Published(12.8, 12.6),
    "python-zmq": Published(13.0, 91.6),
    "multiprocessing": Published(12.4, 110.0),
    "blocking": Published(12.7, 142.0),
    "nonblocking": Published(12.2, 122.0),
}
"""By name of the scenario, in the talk's order."""

THREADS: Final = ("spin", "fib")
"""The kinds of load that the talk's CPU thread is one of."""


def seconds(scenario: str, load: int, load_kind: str) -> float | None:
    """Return what the talk measured for all its messages; None if it did not."""
    figures = TALK.get(scenario)
    if figures is None or load > 1 or (load and load_kind not in THREADS):
        return None
    return figures.loaded_s if load else figures.alone_s
