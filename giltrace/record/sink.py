"""Where what was drained goes: into a file at once, or into memory for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from giltrace.capture.records import Record


class Sink(Protocol):
    """Takes records and events; `giltrace.capture.CaptureWriter` is one.

    Attributes:
        lasting: nothing that it takes is ever dropped: what can go on without end must be limited.
    """

    @property
    def lasting(self) -> bool:
        """See above."""

    def write(self, record: Record, /) -> None:
        """Take one record."""

    def events(self, process: int, runs: Sequence[tuple[int, int]], events: bytes, /) -> None:
        """Take events of one process, as `CaptureWriter.events` does."""

    def scheduling(self, rows: bytes, /) -> None:
        """Take what the kernel did with threads, as `CaptureWriter.scheduling` does."""

    def complete(self, process: int, until_ns: int, /) -> None:
        """Take note that of one process everything has come that happened up to a time."""

    def flush(self) -> None:
        """What was taken is whole for now."""
