"""Reading raw event bytes in tests, independently of the package's own reader."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from giltrace._core import ArenaReader

KINDS = {
    1: "acquire",
    2: "release",
    3: "wait",
    4: "drop_request",
    5: "frame",
    6: "lost",
    7: "cpu",
    8: "detail",
    9: "span",
    10: "span_end",
    11: "priority",
}


class Event(NamedTuple):
    """One event; ``payload`` as in the format's description."""

    slot: int
    ts: int
    kind: str
    flags: int
    gil: int
    payload: int


def decode(runs: list[tuple[int, int]], raw: bytes) -> list[Event]:
    """Events of a drain, run by run."""
    return list(_decode(runs, raw))


def drained(reader: ArenaReader) -> list[Event]:
    """Events of as many drains as it takes."""
    events: list[Event] = []
    while batch := decode(*reader.drain()):
        events += batch
    return events


def _decode(runs: list[tuple[int, int]], raw: bytes) -> Iterator[Event]:
    words = struct.iter_unpack("<QQ", raw)
    for slot, count in runs:
        for _ in range(count):
            ts, data = next(words)
            yield Event(slot, ts, KINDS[data & 15], data >> 4 & 15, data >> 8 & 255, data >> 16)
