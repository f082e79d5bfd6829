"""Captures and traces from text that reads like a timeline.

    timeline('''
        main: hold 0-7ms at spin.py:12 check
        io:   wait 1-7ms request@6ms hold 7-8ms at server.py:41 in handle
    ''')

One line for each thread; lines are separated by newlines or ``;``, and ``#`` begins a comment. The
events of a thread are in the order of its text, which may go on in further lines.

Times are ``0``, ``300ns``, ``20us``, ``1.5ms``, ``2s``; in a range the left one borrows the unit of
the right one. The clock begins at 0.

Items:

``hold A-B``
    An acquire at A and a release at B. ``hold A-`` has no release, ``hold -B`` no acquire.
``wait A-B``
    A request at A; the next item must be a hold that begins at B. ``wait A-`` acquires nothing.
``request@T``
    A drop request, made during the wait before it.
``lost N``
    N events of this thread were lost just before what follows.
``span A-B``
    A call of the function that begins ``at FILE:LINE``; on record where it stands in the text.
``acquire@T``, ``release@T``, ``wait@T``, ``event@T kind=K payload=P``
    Single events, to spell out damage.

What may follow an item:

``at FILE:LINE`` or ``at FILE:LINE:COL-ENDCOL``
    Where it is released; ``in NAME`` for the function, ``from FILE:LINE in NAME`` for each caller,
    innermost first.
``check``
    The release is at a pure eval-breaker check.
``call``
    The release was made through PyEval_SaveThread.
``call=NAME``, ``fd=N``
    The C function it was made in, and the file descriptor that this is about.
``cpu=A-B``
    What the thread's CPU clock shows at the acquire and at the release. Either may be left out.
``depth=N``
    Of a span: another depth than 1.
``already``, ``still``
    The acquire, or the release, is synthetic: recording began, or stopped, during the hold.
``gil=N``
    Another GIL than 0.
``tenure=N``
    Another tenure number than the next one. Numbers are given by time, from 1, and to holds
    without an acquire too; a GIL whose first hold has none counts from 0, as the tap does.
``names=N``
    Another tenure than the one in force (for waits and requests).

Lines of another kind:

``process PID [ppid=N] [start=T] [end=T|none] [interval=T] [python=V] [nogil] [lost=N]``
    The threads that follow are in that process. Without any, there is one with pid 100. It ends at
    the last time in its text, unless told otherwise; with ``none`` there is no end record.
``gil N [interpreter=N] [created=T]``
    Describe a GIL of that process.
``unfinished``
    The recorder died.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from giltrace.capture.reader import Capture
from giltrace.capture.records import End
from giltrace.model.builder import build
from giltrace.model.trace import Trace
from tests.support.recording import ProcessRecording, Recording, Spot

_UNITS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME: Final = re.compile(r"([0-9.]+)(ns|us|ms|s)?")
_SPOT: Final = re.compile(r"(.+?):(\d+)(?::(\d+)-(\d+))?")


def timeline(*lines: str) -> Trace:
    """The trace that the text describes."""
    return build(capture(*lines))


def capture(*lines: str) -> Capture:
    """The capture that the text describes."""
    return recording(*lines).capture()


def write_capture(path: Path, *lines: str) -> Path:
    """Write the capture file that the text describes, and return its path."""
    return recording(*lines).write(path)


def recording(*lines: str) -> Recording:
    """The recording that the text describes, open to additions.

    Raises:
        ValueError: the text does not make sense.
    """
    made = Recording()
    section: _Section | None = None
    sections = []
    finished = True
    for line in _lines(lines):
        head, _, rest = line.partition(" ")
        if head == "unfinished":
            finished = False
        elif head == "process":
            section = _Section(*_process(made, rest.split()))
            sections.append(section)
        else:
            if section is None:
                section = _Section(made.process())
                sections.append(section)
            section.line(line)
    for section in sections:
        section.finish()
    if finished:
        end_ns = max((p.end_ns or 0 for p in made.processes), default=0)
        made.end = End(end_ns, exit_code=0, signal=None)
    return made


def _lines(lines: tuple[str, ...]) -> Iterator[str]:
    for text in lines:
        for line in text.replace(";", "\n").splitlines():
            stripped = line.partition("#")[0].strip()
            if stripped:
                yield stripped


def _ns(text: str, unit: str | None = None) -> int:
    """A time in ns; without a unit only 0 is one, or else a number of ``unit``."""
    match = _TIME.fullmatch(text)
    if match is None or (match[2] is None and unit is None and Decimal(match[1]) != 0):
        raise ValueError(f"not a time: {text!r}")
    ns = Decimal(match[1]) * _UNITS[match[2] or unit or "ns"]
    if ns != int(ns):
        raise ValueError(f"not a whole number of nanoseconds: {text!r}")
    return int(ns)


def _range(text: str) -> tuple[int | None, int | None]:
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f"not a range of times: {text!r}")
    match = _TIME.fullmatch(last)
    unit = match[2] if match else None
    return _ns(first, unit) if first else None, _ns(last) if last else None


def _process(made: Recording, words: list[str]) -> tuple[ProcessRecording, str | None]:
    options = dict(word.partition("=")[::2] for word in words[1:])
    info: dict[str, object] = {}
    for name, value in options.items():
        if name == "ppid":
            info[name] = int(value)
        elif name in ("python", "implementation", "executable", "backend"):
            info[name] = value
        elif name == "start":
            info["start_ns"] = _ns(value)
        elif name == "interval":
            info["switch_interval_ns"] = _ns(value)
        elif name == "nogil":
            info["gil_enabled"] = False
        elif name not in ("end", "lost"):
            raise ValueError(f"a process has no {name!r}")
    process = made.process(int(words[0]), **info)
    process.lost_events = int(options.get("lost", 0))
    return process, options.get("end")


@dataclass
class _Item:
    """One item of a thread's text, with all that follows it."""

    kind: str
    thread: int
    first: int | None = None
    last: int | None = None
    count: int = 0
    gil: int = 0
    tenure: int | None = None
    names: int | None = None
    check: bool = False
    call: bool = False
    already: bool = False
    still: bool = False
    name: str = ""
    fd: int | None = None
    cpu: tuple[int | None, int | None] = (None, None)
    depth: int = 1
    spots: list[Spot] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def since(self) -> int:
        """When the hold begins, as far as the text says."""
        when = self.last if self.first is None else self.first
        assert when is not None
        return when


class _Section:
    """One process's part of the text."""

    def __init__(self, process: ProcessRecording, end: str | None = None) -> None:
        self._process = process
        self._end = end
        self._items: list[_Item] = []

    def line(self, line: str) -> None:
        """One line that is no process line."""
        name, colon, rest = line.partition(":")
        if line.startswith("gil ") and not colon:
            words = line.split()
            options = dict(word.partition("=")[::2] for word in words[2:])
            interpreter = int(options["interpreter"]) if "interpreter" in options else None
            self._process.gil(int(words[1]), interpreter, _ns(options.get("created", "0")))
            return
        if not colon or not name.strip():
            raise ValueError(f"not a thread, a process or a GIL: {line!r}")
        thread = self._process.thread(name.strip())
        self._items += _items(thread, rest.split())

    def finish(self) -> None:
        """All lines are there: number the tenures and make the events."""
        _check_waits(self._items)
        self._number()
        for item in self._items:
            self._emit(item)
        times = [t for item in self._items for t in (item.first, item.last) if t is not None]
        if self._end != "none":
            start = self._process.info.start_ns
            self._process.end_ns = _ns(self._end) if self._end else max(times, default=start)

    def _number(self) -> None:
        """Tenure numbers, in the order of the acquires of each GIL."""
        following: dict[int, int] = {}
        for item in sorted(self._holders(), key=lambda item: item.since):
            initial = item.first is None and item.gil not in following
            number = following.get(item.gil, 0 if initial else 1)
            item.tenure = number if item.tenure is None else item.tenure
            following[item.gil] = item.tenure + 1

    def _holders(self) -> list[_Item]:
        return [item for item in self._items if item.kind in ("hold", "acquire")]

    def _in_the_way(self, item: _Item, ts: int) -> int:
        """The tenure that a wait or request at that time names."""
        if item.names is not None:
            return item.names
        others = [
            other
            for other in self._holders()
            if other.gil == item.gil and other.thread != item.thread
            if (other.first is None or other.first <= ts)
        ]
        return max((other.tenure or 0 for other in others), default=0)

    def _emit(self, item: _Item) -> None:
        process, thread, gil = self._process, item.thread, item.gil
        if item.kind in ("hold", "acquire") and item.first is not None:
            assert item.tenure is not None
            process.acquire(thread, item.first, item.tenure, gil=gil, synthetic=item.already)
            if item.cpu[0] is not None:
                process.cpu(thread, item.first, item.cpu[0])
        if item.kind in ("hold", "release") and item.last is not None:
            process.release(
                thread,
                item.last,
                item.spots[0] if item.spots else None,
                callers=item.spots[1:],
                gil=gil,
                check=item.check,
                call=item.call,
                synthetic=item.still,
                name=item.name,
                cpu_ns=item.cpu[1],
                fd=item.fd,
            )
        if item.kind == "span" and item.first is not None and item.last is not None:
            spot = item.spots[0] if item.spots else None
            process.span(thread, item.first, item.last, spot, item.depth)
        if item.kind == "wait" and item.first is not None:
            process.wait(thread, item.first, self._in_the_way(item, item.first), gil=gil)
        if item.kind == "request" and item.first is not None:
            process.request(thread, item.first, self._in_the_way(item, item.first), gil=gil)
        if item.kind == "lost":
            process.lost(thread, item.count)
        if item.kind == "event" and item.first is not None:
            numbers = item.numbers
            process.event(numbers["kind"], thread, item.first, numbers.get("payload", 0), gil=gil)


def _check_waits(items: list[_Item]) -> None:
    """A wait that ends must end in a hold: a slip in the text would go unseen otherwise."""
    for i, item in enumerate(items):
        if item.kind != "wait" or item.last is None:
            continue
        later = (
            other
            for other in items[i + 1 :]
            if other.thread == item.thread and other.kind not in ("request", "lost", "span")
        )
        following = next(later, None)
        if following is None or following.kind != "hold" or following.since != item.last:
            raise ValueError(
                f"a wait ends at {item.last} ns, but no hold of its thread begins then"
            )


def _items(thread: int, words: list[str]) -> Iterator[_Item]:
    """The items in the text of one thread."""
    item: _Item | None = None
    gil = 0
    rest = iter(words)
    for word in rest:
        head, at, value = word.partition("@")
        if word in ("hold", "wait", "lost", "span") or at:
            if item is not None:
                yield item
                gil = item.gil if head == "request" else 0
            item = _new_item(thread, word if not at else head, next(rest) if not at else value)
            item.gil = gil if head == "request" else 0
        elif item is None:
            raise ValueError(f"not an item: {word!r}")
        else:
            _modify(item, word, rest)
    if item is not None:
        yield item


def _new_item(thread: int, kind: str, value: str) -> _Item:
    if kind == "lost":
        return _Item(kind, thread, count=int(value))
    if kind in ("hold", "wait", "span") and "-" in value:
        first, last = _range(value)
        return _Item(kind, thread, first, last)
    if kind == "release":
        return _Item(kind, thread, None, _ns(value))
    if kind in ("acquire", "wait", "request", "event"):
        return _Item(kind, thread, _ns(value))
    raise ValueError(f"not an item: {kind} {value}")


def _modify(item: _Item, word: str, rest: Iterator[str]) -> None:
    """Apply a word that follows an item to it."""
    name, equals, value = word.partition("=")
    if word in ("at", "from"):
        item.spots.append(_spot(next(rest)))
    elif word == "in":
        item.spots[-1] = item.spots[-1]._replace(qualname=next(rest))
    elif word in ("check", "call", "already", "still"):
        setattr(item, word, True)
    elif equals and name in ("gil", "tenure", "names", "fd", "depth"):
        setattr(item, name, int(value))
    elif equals and name == "call":
        item.name = value
    elif equals and name == "cpu":
        item.cpu = _range(value)
    elif equals:
        item.numbers[name] = int(value)
    else:
        raise ValueError(f"not understood after {item.kind!r}: {word!r}")


def _spot(text: str) -> Spot:
    match = _SPOT.fullmatch(text)
    if match is None:
        raise ValueError(f"not FILE:LINE: {text!r}")
    columns = (int(match[3]), int(match[4])) if match[3] else (None, None)
    return Spot(match[1], int(match[2]), "<module>", *columns)
