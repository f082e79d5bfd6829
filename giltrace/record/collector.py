"""The recorder's loop body: find processes of the session, drain them, sample them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import psutil

from giltrace.capture.records import End, SourceText
from giltrace.record import guarded
from giltrace.record.drain import ProcessDrain
from giltrace.record.portable import PortableDrain, streams
from giltrace.record.sampler import sample
from giltrace.record.scheduling import Scheduling
from giltrace.record.session import Refusal, Session
from giltrace.record.sink import Sink
from giltrace.record.sockets import Sockets
from giltrace.record.sources import Sources
from giltrace.record.wishes import grant

_SAMPLE_NS = 250_000_000
_RECLAIM_NS = 100_000_000
_IDLE_S = 0.03
_MOST_REFUSALS = 1000

Drain: TypeAlias = ProcessDrain | PortableDrain


class Collector:
    """Takes what one session has into one sink.

    Attributes:
        drains: the processes now recorded.
        refusals: Pythons that could not join.
        joined: how many processes have been recorded.
    """

    def __init__(
        self, session: Session, writer: Sink, scheduling: Scheduling | None = None
    ) -> None:
        """Take into ``writer``; with it what the kernel does, if that is recorded."""
        self._session = session
        self._writer = writer
        self._scheduling = scheduling or Scheduling(asked=False)
        self._sources = Sources()
        self._sockets = Sockets()
        self._started_cpu_ns = time.process_time_ns()
        self._psutil: dict[int, psutil.Process] = {}
        self._next_sample_ns = 0
        self._next_reclaim_ns = 0
        self._ended_events = 0
        self._ended_lost = 0
        self.drains: list[Drain] = []
        self.refusals: list[Refusal] = []
        self.joined = 0

    @property
    def events(self) -> int:
        """Events taken from all processes so far."""
        return self._ended_events + sum(drain.events for drain in self.drains)

    @property
    def lost_events(self) -> int:
        """Events that all processes together could not write, so far."""
        return self._ended_lost + sum(drain.lost_events for drain in self.drains)

    def utilisation(self) -> float:
        """Highest share of time, over the processes, that a GIL was held since the last call."""
        found = [0.0]

        def ask(drain: Drain) -> None:
            found.append(drain.utilisation())

        for drain in self.drains[:]:
            self._tend(drain, partial(ask, drain))
        return max(found)

    def poll(self) -> float:
        """Do one round.

        Returns:
            How many seconds may pass before the next.

        Raises:
            OSError: the capture cannot be written.
        """
        self._meet()
        grant(self._session, self.drains)
        for drain in self.drains[:]:
            self._tend(drain, partial(self._poll, drain))
        now = time.monotonic_ns()
        if now >= self._next_reclaim_ns:
            self._next_reclaim_ns = now + _RECLAIM_NS
            for drain in self.drains[:]:
                self._tend(drain, drain.reclaim)
        if now >= self._next_sample_ns:
            self._next_sample_ns = now + _SAMPLE_NS
            self._sample()
        pause_s = min((drain.pause_s for drain in self.drains), default=_IDLE_S)
        return min(pause_s, self._scheduling.poll(self._writer))

    def sources(self) -> Iterator[SourceText]:
        """The source text of what was seen so far; takes about a second at the most."""
        return self._sources.records()

    def stop(self) -> None:
        """Turn recording off in all processes that still run."""
        for drain in self.drains[:]:
            self._tend(drain, drain.stop)
        self._scheduling.close()

    def finish(self, exit_code: int | None, number: int | None, reason: str) -> None:
        """Take the rest and end the capture.

        Args:
            exit_code: the target's, if it has ended by itself.
            number: the signal that killed it, if one did.
            reason: why the recording ends.

        Raises:
            OSError: the capture cannot be written.
        """
        self._meet()
        for drain in self.drains[:]:
            self._tend(drain, drain.stop)
        for drain in self.drains[:]:
            how = "left running" if _runs(drain.pid) else "ended"
            self._tend(drain, partial(self._finish, drain, how))
        self._scheduling.finish(self._writer)
        for source in self._sources.records():
            self._writer.write(source)
        cpu_ns = time.process_time_ns() - self._started_cpu_ns
        end = End(time.monotonic_ns(), exit_code, number, reason, cpu_ns)
        self._writer.write(end)
        self._writer.flush()

    def _meet(self) -> None:
        for path in (*self._session.arenas(), *streams(self._session.path)):
            self._join(path)
        refusals = self._session.refusals()
        self.refusals += refusals[: _MOST_REFUSALS - len(self.refusals)]

    def _poll(self, drain: Drain) -> None:
        drain.poll()
        if not drain.alive:
            self._finish(drain, "ended")

    def _tend(self, drain: Drain, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError:
            raise
        except (ValueError, SystemError, LookupError, OverflowError) as error:
            # The target has scribbled over its arena; the others' recording goes on.
            why = f"its memory for events is damaged: {error}"
            drain.give_up(why)
            self._drop(drain)
            self.refusals.append(Refusal(drain.pid, "", why))

    def _join(self, path: Path) -> None:
        try:
            drain: Drain
            if path.suffix == ".arena":
                drain = ProcessDrain(path, self.joined, self._writer, self._sources, self._sockets)
            else:
                drain = PortableDrain(path, self.joined, self._writer, self._sources)
        except BlockingIOError:
            self._session.forget(path)
            return
        except FileNotFoundError:
            # The process took it back: it could not start the tap and has said so.
            return
        except (ValueError, TypeError, PermissionError) as error:
            self.refusals.append(Refusal(guarded.number(path.name, 0), "", str(error)))
            return
        self.joined += 1
        self.drains.append(drain)

    def _sample(self) -> None:
        for drain in self.drains:
            try:
                if drain.pid not in self._psutil:
                    self._psutil[drain.pid] = psutil.Process(drain.pid)
                record = sample(self._psutil[drain.pid], drain.index)
            except psutil.Error:
                continue
            if record is not None:
                self._writer.write(record)

    def _finish(self, drain: Drain, status: str) -> None:
        drain.finish(status)
        self._drop(drain)

    def _drop(self, drain: Drain) -> None:
        self.drains.remove(drain)
        self._sources.forget(drain.index)
        self._psutil.pop(drain.pid, None)
        self._ended_events += drain.events
        self._ended_lost += drain.lost_events


def describe_refusals(refusals: Sequence[Refusal]) -> list[str]:
    """One sentence for each Python that could not join."""
    sentences = []
    for refusal in refusals:
        if refusal.not_installed:
            reason = f"giltrace is not installed in {refusal.executable}"
        else:
            reason = refusal.reason.rstrip(".")
        sentences.append(f"process {refusal.pid} was not recorded: {reason}")
    return sentences


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
