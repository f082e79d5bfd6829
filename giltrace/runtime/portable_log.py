"""From events and facts to records of the ring, in the order in which the recorder needs them.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import struct

from giltrace.runtime import portable_ring as ring
from giltrace.runtime.portable_names import Names

ACQUIRE, RELEASE, FRAME, LOST = 1, 2, 5, 6
SYNTHETIC = 1

_NOWHERE = 0xFFFF << 16
_EVENT = struct.Struct("<QQ")
# A whole record `SWITCH` of two events: the usual one.
_SWITCH = struct.Struct("<IIIIQQQQ")


class Log:
    """What a process tells the recorder. Not thread-safe, except where it says so.

    Attributes:
        names: numbers for code objects and C functions.
    """

    def __init__(self, where: ring.Ring) -> None:
        """Begin with the first tenure, to be written to a ring."""
        self._ring = where
        self._fresh: list[bytes] = []
        self._noted: set[str] = set()
        self._tenure = 0
        self._last_ns = 0
        self._lost: dict[int, int] = {}
        self._lost_events = 0
        self.names = Names(self._fresh)

    def begin(self, thread: int, ts: int) -> None:
        """A thread has the GIL already."""
        self._tenure += 1
        self._last_ns = ts
        self._write(thread, (ts, ACQUIRE | SYNTHETIC << 4 | self._tenure << 16))

    def hand_over(
        self,
        one: int,
        place: list[int],
        released: int,
        other: int,
        acquired: int,
        *,
        call: int = 0,
    ) -> None:
        """Thread ``one`` lets go, in ``call`` if it is in one, and ``other`` acquires.

        ``place`` holds the frame words of where ``one`` is, the innermost first, if that is known.
        Times that contradict each other or earlier ones are put in order: threads tell them.
        """
        released = max(released, self._last_ns)
        self._last_ns = acquired = max(released, acquired)
        self._tenure += 1
        acquire = ACQUIRE | self._tenure << 16
        release = RELEASE | (place[0] if place else _NOWHERE) << 16
        release |= call << 48
        if len(place) <= 1:
            head = (ring.SWITCH, _SWITCH.size, one, other)
            record = _SWITCH.pack(*head, released, release, acquired, acquire)
            lost = 1
        else:
            callers = _callers(place[1:])
            events = [(released, release), *callers, (acquired, acquire)]
            record = ring.record(ring.SWITCH, ring.SWITCH_HEAD.pack(one, other) + _packed(events))
            lost = 1 + len(callers)
        if not self._put(record):
            self._lose(one, lost)
            self._lose(other, 1)

    def end(self, thread: int, ts: int) -> None:
        """The recording ends, while a thread has the GIL."""
        self._write(thread, (ts, RELEASE | SYNTHETIC << 4 | _NOWHERE << 16))
        self._put(ring.record(ring.END, ring.U64.pack(ts)))

    def thread(self, thread: int, tid: int, ts: int, name: str) -> None:
        """A thread is there, or has got another name. Any thread may say so at any time."""
        head = ring.THREAD_HEAD.pack(thread, 0, tid, ts)
        self._fresh.append(ring.record(ring.THREAD, head + name.encode("utf-8", "surrogatepass")))

    def note(self, sentence: str) -> None:
        """A sentence for the user, once."""
        if sentence not in self._noted:
            self._noted.add(sentence)
            self._fresh.append(ring.record(ring.NOTE, sentence.encode("utf-8", "replace")))

    def _write(self, thread: int, event: tuple[int, int]) -> None:
        """Write an event of a thread."""
        head = ring.EVENTS_HEAD.pack(thread, 0)
        if not self._put(ring.record(ring.EVENTS, head + _packed([event]))):
            self._lose(thread, 1)

    def _put(self, record: bytes) -> bool:
        """Write a record, and before it all that is due; says whether there was room."""
        if not self._fresh and not self._lost:
            return self._ring.write(record)
        fresh = self._fresh[:]
        losses = [
            ring.EVENTS_HEAD.pack(thread, 0) + _packed([(0, LOST | count << 16)])
            for thread, count in self._lost.items()
        ]
        records = [*fresh, *(ring.record(ring.EVENTS, loss) for loss in losses), record]
        if not self._ring.write(b"".join(records)):
            return False
        # Not all: another thread may have told its name meanwhile.
        del self._fresh[: len(fresh)]
        self._lost.clear()
        return True

    def _lose(self, thread: int, events: int) -> None:
        self._lost[thread] = self._lost.get(thread, 0) + events
        self._lost_events += events
        self._ring.tell_lost(self._lost_events)


def _callers(words: list[int]) -> list[tuple[int, int]]:
    """FRAME events for these frames, two to an event."""
    outer = [*words[1::2], 0]
    return [(outer[at], FRAME | word << 16) for at, word in enumerate(words[::2])]


def _packed(events: list[tuple[int, int]]) -> bytes:
    return b"".join([_EVENT.pack(ts, data) for ts, data in events])
