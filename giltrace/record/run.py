"""``giltrace record``: start the target, record it, return its exit status."""

from __future__ import annotations

import errno
import os
import platform
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from giltrace._version import __version__
from giltrace.capture import CaptureWriter
from giltrace.capture.records import SessionInfo
from giltrace.errors import GiltraceError
from giltrace.record.collector import Collector, describe_refusals
from giltrace.record.output import CaptureFile
from giltrace.record.policy import Policy
from giltrace.record.scheduling import Scheduling
from giltrace.record.session import Session
from giltrace.record.settings import Settings
from giltrace.record.signals import held_back, pass_on
from giltrace.record.status import StatusLine
from giltrace.record.target import Target

# While nothing is recorded any more, there is nothing to do but wait for the target.
_WAIT_S = 1.0
# How much longer the target's other processes are followed once it has ended: helpers such as
# multiprocessing's resource tracker end when they see that it has.
_OTHERS_S, _OTHERS_PAUSE_S = 1.0, 0.02


@dataclass(frozen=True)
class Options:
    """How to record.

    Attributes:
        output: the capture file.
        force: replace an existing one.
        duration_s: record for so long, then let the target go on; None: until it ends.
        settings: what its processes are asked to record.
        policy: who gets the GIL next in them.
        shared: tell where the capture is, so that a live view can follow it.
        sched: record what the kernel does with its threads, too.
    """

    output: Path
    force: bool = False
    duration_s: float | None = None
    settings: Settings = field(default_factory=Settings)
    policy: Policy = field(default_factory=Policy)
    shared: bool = True
    sched: bool = False


@dataclass
class Outcome:
    """How a recording ended.

    Attributes:
        exit_code: the target's, as a shell gives it (128 + N after signal N).
        events, lost_events, processes: totals.
        capture_bytes: size of the capture.
        notes: sentences for the user.
        captures: those of a flight recorder that are there at the end.
        failure: why there is no whole capture; None if there is one.
    """

    exit_code: int
    events: int = 0
    lost_events: int = 0
    processes: int = 0
    capture_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    captures: list[Path] = field(default_factory=list)
    failure: GiltraceError | None = None


def run(target: Target, options: Options, status: StatusLine) -> Outcome:
    """Record ``target`` until it ends.

    Raises:
        GiltraceError: the output cannot be opened or the target not be started. Once it runs,
            nothing is raised: it always runs to its own end (see `Outcome.failure`).
    """
    with (
        Session(options.settings) as session,
        CaptureFile(options.output, force=options.force) as file,
        # In this very thread, whose children the kernel then watches from their start.
        Scheduling(asked=options.sched) as scheduling,
    ):
        about = session_info(list(target.argv), options.settings, options.duration_s)
        about.options.update(options.policy.described() | scheduling.described())
        writer = CaptureWriter(file.stream, about)
        collector = Collector(session, writer, scheduling)
        if options.shared:
            session.announce(options.output)
        env = session.environment(options.policy.environment(os.environ))
        with held_back() as mask:
            pid = spawn(target, env, mask)
            outcome = Recording(collector, options, status).follow(pid)
        outcome.capture_bytes = writer.bytes_written
        outcome.notes += describe_refusals(collector.refusals)
        if outcome.processes == 0 and outcome.failure is None:
            file.discard()
            outcome.failure = nothing_recorded(target, collector, outcome.exit_code)
            outcome.notes.clear()
        return outcome


def session_info(
    argv: list[str], settings: Settings, duration_s: float | None = None
) -> SessionInfo:
    """The first record of a capture, as of now."""
    return SessionInfo(
        giltrace=__version__,
        argv=argv,
        started_ns=time.monotonic_ns(),
        started_unix_ns=time.time_ns(),
        host=socket.gethostname(),
        platform=platform.platform(),
        options=settings.described() | {"duration_s": duration_s},
    )


class Recording:
    """The loop from the start of the target to its end."""

    def __init__(
        self,
        collector: Collector,
        options: Options,
        status: StatusLine,
        *,
        each_round: Callable[[], object] | None = None,
        signals: Mapping[int, Callable[[], None]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            collector: of the session that the target was started in.
            options: how to record.
            status: shows how it goes.
            each_round: called after each visit to the target's processes.
            signals: what to do at signals that are not for the target.
        """
        self._each_round = each_round
        self._signals = signals or {}
        self._collector = collector
        self._options = options
        self._status = status
        self._started = time.monotonic()
        self._on = True
        self._failure: GiltraceError | None = None
        self._left_running: list[int] = []

    def follow(self, pid: int) -> Outcome:
        """Record until process ``pid``, our child, has ended."""
        while (how := ended(pid)) is None:
            pause = self._round()
            pass_on(pid, pause, self._signals)
        # What it has started in its last moment is examined while the kernel still knows it.
        if self._on:
            self._guarded(self._collector.poll)
        os.waitpid(pid, 0)
        code, number = how
        self._see_off()
        self._end(code, number, "the target ended")
        return self._outcome(128 + number if number is not None else code or 0, pid)

    def _outcome(self, exit_code: int, pid: int) -> Outcome:
        collector = self._collector
        return Outcome(
            exit_code=exit_code,
            events=collector.events,
            lost_events=collector.lost_events,
            processes=collector.joined,
            notes=self._notes(pid),
            failure=self._failure,
        )

    def _round(self) -> float:
        """Take what is there; returns how many seconds may pass before the next time."""
        if not self._on:
            return _WAIT_S
        pauses: list[float] = []
        self._guarded(lambda: pauses.append(self._collector.poll()))
        if self._each_round is not None:
            self._each_round()
        elapsed = time.monotonic() - self._started
        limit = self._options.duration_s
        if limit is not None and elapsed >= limit:
            self._end(None, None, "the duration was over")
        elif self._status.due():
            collector = self._collector
            self._status.show(
                elapsed,
                collector.events,
                collector.utilisation(),
                collector.lost_events,
                len(collector.drains),
            )
        if limit is not None:
            pauses.append(max(0.001, limit - elapsed))
        return min(pauses, default=_WAIT_S)

    def _see_off(self) -> None:
        """Follow what else runs for a moment: most of it is about to end, too."""
        until = time.monotonic() + _OTHERS_S
        self._guarded(self._collector.poll)
        while self._on and self._collector.drains and time.monotonic() < until:
            time.sleep(_OTHERS_PAUSE_S)
            self._guarded(self._collector.poll)

    def _end(self, code: int | None, number: int | None, reason: str) -> None:
        self._status.clear()
        if self._on:
            self._left_running = [drain.pid for drain in self._collector.drains]
            self._guarded(lambda: self._collector.finish(code, number, reason))
            self._on = False

    def _guarded(self, action: Callable[[], object]) -> None:
        """Do something that writes; if it fails the recording is over, the target goes on."""
        if self._failure is not None:
            return
        try:
            action()
        except OSError as error:
            self._collector.stop()
            self._on = False
            self._status.clear()
            self._failure = cannot_write(self._options.output, error)

    def _notes(self, pid: int) -> list[str]:
        still = [other for other in self._left_running if other != pid and _runs(other)]
        if not still:
            return []
        which = ", ".join(map(str, still[:5])) + (", …" if len(still) > 5 else "")
        return [f"{len(still)} of its processes still run and are recorded no further: {which}"]


def spawn(target: Target, env: dict[str, str], mask: set[int]) -> int:
    """Start the target as if we were not there: same terminal, process group, signal mask."""
    try:
        return os.posix_spawn(
            target.argv[0],
            target.argv,
            env,
            setsigmask=mask,
            # Python ignores these two from its start; a target must find them as they were.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except OSError as error:
        hint = ""
        if error.errno == errno.ENOEXEC:
            hint = "A script needs a first line such as #!/usr/bin/env python3."
        raise GiltraceError(f"cannot start {target.argv[0]}: {error.strerror}", hint) from None


def ended(pid: int) -> tuple[int | None, int | None] | None:
    """(exit code, signal) of the child, which stays a zombie, or None while it runs."""
    done = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if done is None:
        return None
    if done.si_code == os.CLD_EXITED:
        return done.si_status, None
    return None, done.si_status


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def cannot_write(path: Path, error: OSError) -> GiltraceError:
    """A disk is full, or the like."""
    return GiltraceError(
        f"cannot write {path} any further: {error.strerror}",
        "The target was left to run without being recorded; what was written before can be read.",
    )


def nothing_recorded(target: Target, collector: Collector, exit_code: int = 0) -> GiltraceError:
    """Why there is no capture, as far as anybody knows."""
    if collector.refusals:
        first = collector.refusals[0]
        if first.not_installed:
            return GiltraceError(
                f"nothing was recorded: giltrace is not installed in {first.executable}",
                f"Install it there ({first.executable} -m pip install giltrace), or record it by "
                "inference: --backend portable",
            )
        return GiltraceError(
            f"nothing was recorded: {first.reason.rstrip('.')}",
            f"See what is wrong: {first.executable or 'python'} -m giltrace doctor",
        )
    name = os.path.basename(target.argv[0])
    if exit_code - 128 in (signal.SIGINT, signal.SIGTERM):
        return GiltraceError(
            f"nothing was recorded: {name} was stopped before a Python ran that giltrace could join"
        )
    return GiltraceError(
        f"nothing was recorded: {name} ran, but no Python started that giltrace could join",
        "The target must be a Python program, and its Python must not be started with "
        "-E, -I or -S, which make it ignore PYTHONPATH.",
    )
