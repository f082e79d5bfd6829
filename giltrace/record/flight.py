"""The flight recorder: keeps the last seconds, and writes a capture of them when triggered."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from giltrace.capture import CaptureWriter
from giltrace.capture.events import Kind
from giltrace.capture.records import ProcessEnd, ProcessInfo, Record, SessionInfo, SourceText
from giltrace.capture.window import Window
from giltrace.errors import GiltraceError
from giltrace.record.follow import Follower, Taken
from giltrace.record.output import CaptureFile
from giltrace.record.sampler import is_running
from giltrace.record.triggers import Flight

# Of so many threads that hold or wait for a GIL some have ended while they did.
_MANY_OPEN: Final = 4096
_FULL: Final = "there were too many events to keep: captures are shorter than asked for"


class FlightRecorder:
    """A window, and the reasons to write it; a `giltrace.record.sink.Sink`.

    Attributes:
        lasting: what it takes does not last.
        captures: those that are there, the oldest first.
        notes: sentences for the user.
    """

    lasting = False

    def __init__(
        self,
        flight: Flight,
        output: Path,
        about: Callable[[str], SessionInfo],
        say: Callable[[str], None],
    ) -> None:
        """Watch from now on.

        Args:
            flight: when to write.
            output: captures get its name, with a number each.
            about: the first record of a capture that is written now, given the reason.
            say: tells the user at once what happens.
        """
        self._window = Window(
            flight.span_ns, packed=True, clock=time.monotonic_ns, alive=is_running
        )
        self._followers: dict[int, Follower] = {}
        self._flight = flight
        self._output = output
        self._about = about
        self._say = say
        self._numbers = itertools.count(1)
        self._reason = ""
        self._ended_ns = 0  # what the reason is
        self._quiet_until_ns = 0
        self._asked = False
        self._failed = 0
        self.captures: deque[Path] = deque()
        self.notes: list[str] = []

    def write(self, record: Record) -> None:
        """Take a record."""
        if isinstance(record, ProcessInfo):
            self._followers[record.process] = Follower()
        elif isinstance(record, ProcessEnd):
            self._followers.pop(record.process, None)
        self._window.write(record)

    def events(self, process: int, runs: Sequence[tuple[int, int]], events: bytes) -> None:
        """Take events of one process, and remember what was too long in them."""
        self._window.events(process, runs, events)
        follower = self._followers[process]
        taken = follower.take(runs, events)
        if len(follower.open) > _MANY_OPEN:
            follower.forget_all_but(self._window.threads_of(process))
        self._judge(taken)

    def scheduling(self, rows: bytes) -> None:
        """Take what the kernel did with threads."""
        self._window.scheduling(rows)

    def complete(self, process: int, until_ns: int) -> None:
        """Take note that of one process everything has come up to a time."""
        self._window.complete(process, until_ns)

    def flush(self) -> None:
        """Nothing: who wants to see it has a capture written."""

    def ask(self) -> None:
        """Somebody has sent the signal."""
        self._asked = True

    def look(self, sources: Callable[[], Iterable[SourceText]]) -> None:
        """Write a capture if there is a reason to.

        What is open counts when half of the window is full of it: before that, its end may come
        and belongs into the capture. What has ended counts when all has come that happened until
        then. Never raises.
        """
        now = time.monotonic_ns()
        least = self._flight.span_ns // 2
        for kind, name in ((Kind.WAIT, "wait"), (Kind.ACQUIRE, "hold")):
            limit = getattr(self._flight.triggers, f"{name}_ns")
            open_ns = self._longest_open_ns(kind, now) if limit is not None else 0
            if open_ns > max(least, limit or 0) and not self._reason:
                self._reason, self._ended_ns = f"a {name} that goes on for {_ms(open_ns)}", 0
        reason = self._reason if self._ended_ns <= self._window.complete_ns else ""
        if self._asked:
            reason = "SIGUSR1"
        elif now < self._quiet_until_ns:
            self._reason = reason = ""
        if not reason:
            return
        self._reason = ""
        self._asked = False
        self._quiet_until_ns = now + self._flight.cool_down_ns
        self._write(reason, sources())

    def write_last(self, output: CaptureFile) -> int:
        """Write what is there at the end; returns the bytes of it.

        Raises:
            OSError: it cannot be written.
        """
        writer = CaptureWriter(output.stream, self._about("the end"))
        self._save(writer)
        return writer.bytes_written

    def _save(self, writer: CaptureWriter, sources: Iterable[SourceText] = ()) -> None:
        until_ns = self._window.complete_ns
        since_ns = until_ns - self._flight.span_ns
        self._window.save(writer, since_ns=since_ns, until_ns=until_ns, sources=sources)

    def _longest_open_ns(self, kind: Kind, now_ns: int) -> int:
        """For how long the oldest open WAIT or hold (ACQUIRE) of all has been so."""
        followers = self._followers.values()
        return max((one.longest_open_ns(kind, now_ns) for one in followers), default=0)

    def _judge(self, taken: Taken) -> None:
        triggers = self._flight.triggers
        if triggers.wait_ns is not None and taken.wait.ns > triggers.wait_ns:
            self._reason, self._ended_ns = f"a wait of {_ms(taken.wait.ns)}", taken.wait.end_ns
        elif triggers.hold_ns is not None and taken.hold.ns > triggers.hold_ns:
            self._reason, self._ended_ns = f"a hold of {_ms(taken.hold.ns)}", taken.hold.end_ns

    def _write(self, reason: str, sources: Iterable[SourceText]) -> None:
        try:
            with self._new_file() as file:
                self._save(CaptureWriter(file.stream, self._about(reason)), sources)
                file.stream.close()
        except (GiltraceError, OSError) as error:
            self._failed += 1
            self._say(f"{error} (a capture for {reason})")
            failed = f"captures that could not be written: {self._failed}, the last because {error}"
            self.notes = [note for note in self.notes if note == _FULL] + [failed]
            return
        self.captures.append(file.path)
        while len(self.captures) > self._flight.keep:
            self.captures.popleft().unlink(missing_ok=True)
        if self._window.full and _FULL not in self.notes:
            self.notes.append(_FULL)
        self._say(f"wrote {file.path} ({reason})")

    def _new_file(self) -> CaptureFile:
        stem, suffix = self._output.stem, self._output.suffix
        while True:
            path = self._output.with_name(f"{stem}-{next(self._numbers)}{suffix}")
            if not path.exists():
                return CaptureFile(path)


def _ms(ns: int) -> str:
    return f"{ns / 1e6:,.0f} ms"
