"""What a live view shows: made from the growing capture, twice a second, in a thread of its own.

The view never waits for this thread, and the recorder, which is another process, for neither. Where
there is more than can be looked at in time, less of the recent past is shown; nothing is lost.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from giltrace.analysis.recent import F8, Recent, recent, utilisation, waiters
from giltrace.capture import Capture, CaptureError
from giltrace.capture.follow import Follower
from giltrace.capture.records import SourceText
from giltrace.capture.rewrite import rewrite
from giltrace.capture.window import Window
from giltrace.errors import GiltraceError
from giltrace.model.builder import build
from giltrace.model.tables import I8, Thread
from giltrace.model.trace import Trace
from giltrace.record.live import Watched
from giltrace.record.sampler import is_running
from giltrace.record.sources import Sources
from giltrace.tui.trace_source import TraceSource

_EVERY_S: Final = 0.5
_IDLE_S: Final = 0.05
# Of one core, so much at most goes into looking.
_SHARE: Final = 0.4
_SPAN_NS: Final = 10_000_000_000
_LEAST_SPAN_NS: Final = 1_500_000_000
_MOST_EVENTS: Final = 300_000
_MOST_WHOLE_EVENTS: Final = 6_000_000
_SECOND: Final = 1_000_000_000
# The recorder hands over what it has ten times a second.
_LAG_NS: Final = 300_000_000
_ROWS: Final = 40
HISTORY: Final = 300
"""Seconds of utilisation and waiters that are remembered."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What there is to see at one moment.

    Attributes:
        source: of the timeline; None before the first event.
        recent: the numbers of that stretch.
        seconds: utilisation and waiters of each second up to now; NaN where that was not looked at.
        elapsed_s: how long has been recorded.
        events: how many came, in all.
        rate: how many a second came of late.
        lost_events: for how many there was no room, as far as is known.
        bytes_kept: memory of the events that are kept.
        kept_s: how long these go back.
        ended: the recording has ended.
    """

    source: TraceSource | None
    recent: Recent | None
    seconds: tuple[tuple[float, float], ...]
    elapsed_s: float
    events: int
    rate: float
    lost_events: int
    bytes_kept: int
    kept_s: float
    ended: bool


class Feed:
    """Follows a recording; what it finds goes to ``show``, from its own thread."""

    def __init__(self, watched: Watched, show: Callable[[Shot], None], *, seconds: float) -> None:
        self._watched = watched
        self._show = show
        self._seconds = seconds
        self._orders: SimpleQueue[Callable[[Window], None]] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._history: deque[tuple[int, float, float]] = deque(maxlen=HISTORY)
        self._rate = 0.0
        self._taken: tuple[float, int] = (time.monotonic(), 0)
        self._frozen: Capture | None = None
        self.failure: GiltraceError | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for that."""
        self._stop.set()
        self._thread.join()

    def freeze(self, done: Callable[[TraceSource], None]) -> None:
        """Hold on to all that is kept, to look back; ``done`` gets it, from the feed's thread."""

        def order(window: Window) -> None:
            since = 0
            if window.bytes_kept > 16 * _MOST_WHOLE_EVENTS:
                share = 16 * _MOST_WHOLE_EVENTS / window.bytes_kept
                since = window.newest_ns - round((window.newest_ns - window.oldest_ns) * share)
            self._frozen = window.capture(since_ns=since)
            trace = build(self._frozen)
            done(TraceSource(trace, living=() if self._watched.ended else _living(trace)))

        self._orders.put(order)

    def thaw(self) -> None:
        """Let go of it."""
        self._frozen = None

    def save(self, path: Path, done: Callable[[str], None]) -> None:
        """Write what is kept to a new file; ``done`` gets a sentence, from the feed's thread.

        After `freeze` that is what was kept then.
        """

        def order(window: Window) -> None:
            capture = self._frozen or window.capture()
            try:
                with open(path, "xb") as file:
                    rewrite(file, capture, _sources(capture))
            except FileExistsError:
                done(f"{path} exists")
            except OSError as error:
                path.unlink(missing_ok=True)
                done(f"cannot write {path}: {error.strerror}")
            else:
                kept = max(end.ts_ns for end in capture.process_ends) - capture.session.started_ns
                done(f"the last {kept / 1e9:.1f} s: {path}")

        self._orders.put(order)

    def _run(self) -> None:
        try:
            with Follower(
                self._watched.capture,
                seconds=self._seconds,
                consume=self._watched.ours,
                alive=is_running,
            ) as follower:
                self._follow(follower)
        except CaptureError as error:
            self.failure = error
        except OSError as error:
            self.failure = GiltraceError(
                f"cannot read {self._watched.capture} any further: {error.strerror}"
            )

    def _follow(self, follower: Follower) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            got = follower.read(200)
            window = follower.window
            if window is not None:
                self._obey(window)
            started = time.monotonic()
            if started >= due:
                shot = self._shot(follower)
                self._show(shot)
                cost = time.monotonic() - started
                due = time.monotonic() + max(_EVERY_S, cost / _SHARE)
            if not got:
                self._stop.wait(_IDLE_S)

    def _obey(self, window: Window) -> None:
        try:
            while True:
                self._orders.get_nowait()(window)
        except Empty:
            pass

    def _shot(self, follower: Follower) -> Shot:
        window = follower.window
        ended = self._watched.ended or (window is not None and window.end is not None)
        if window is None or not window.newest_ns:
            return Shot(None, None, (), 0, 0, 0, 0, 0, 0, ended)
        now = window.newest_ns if ended else max(window.newest_ns, time.monotonic_ns() - _LAG_NS)
        self._count(window)
        span = max(_LEAST_SPAN_NS, min(_SPAN_NS, round(_MOST_EVENTS / max(1, self._rate) * 1e9)))
        trace = build(window.capture(since_ns=now - span, until_ns=now))
        self._remember(
            trace.start_ns, now, lambda edges: (utilisation(trace, edges), waiters(trace, edges))
        )
        return Shot(
            source=TraceSource(trace, living=() if ended else _living(trace)),
            recent=recent(trace, _ROWS),
            seconds=self._seconds_up_to(now // _SECOND),
            elapsed_s=(now - window.session.started_ns) / 1e9,
            events=window.events_taken,
            rate=self._rate,
            lost_events=follower.lost_events,
            bytes_kept=window.bytes_kept,
            kept_s=(now - window.oldest_ns) / 1e9,
            ended=ended,
        )

    def _count(self, window: Window) -> None:
        (then, before), self._taken = self._taken, (time.monotonic(), window.events_taken)
        if self._taken[0] > then:
            self._rate = (self._taken[1] - before) / (self._taken[0] - then)

    def _remember(
        self,
        start: int,
        end: int,
        look: Callable[[I8], tuple[F8, F8]],
    ) -> None:
        """Put down the seconds that are over, and were looked at in full."""
        last = self._history[-1][0] if self._history else -1
        first = max(last + 1, -(-start // _SECOND))
        if first >= end // _SECOND:
            return
        numbers = np.arange(first, end // _SECOND + 1)
        held, waited = look(numbers * _SECOND)
        for number, one, other in zip(
            numbers.tolist(), held.tolist(), waited.tolist(), strict=False
        ):
            self._history.append((number, one, other))

    def _seconds_up_to(self, now: int) -> tuple[tuple[float, float], ...]:
        if not self._history:
            return ()
        known = {number: (held, waited) for number, held, waited in self._history}
        first = max(self._history[0][0], now - HISTORY)
        return tuple(known.get(number, (np.nan, np.nan)) for number in range(first, now))


def _living(trace: Trace) -> set[int]:
    """The threads that live, by the kernel's account, as indices into ``trace.threads``."""
    latest: dict[tuple[int, int], Thread] = {}
    for thread in sorted(trace.threads, key=lambda one: one.start_ns):
        latest[thread.process, thread.tid] = thread  # ids are used again
    tids = {process.index: _tids(process.pid) for process in trace.processes}
    return {one.index for (process, tid), one in latest.items() if tid in tids[process]}


def _tids(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()


def _sources(capture: Capture) -> list[SourceText]:
    """The source lines that a capture refers to, which a recorder adds at its end."""
    if capture.sources:
        return []
    sources = Sources()
    for info in capture.processes:
        sources.meet(info)
    for code in capture.codes:
        sources.add(code)
    return list(sources.records())
