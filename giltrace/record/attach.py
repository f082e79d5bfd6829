"""``giltrace attach``: record a process that runs already, then leave it as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from giltrace._version import __version__
from giltrace.capture import CaptureWriter
from giltrace.errors import GiltraceError
from giltrace.record.collector import Collector, describe_refusals
from giltrace.record.entering import Deed, bring, nudge, patience_s
from giltrace.record.output import CaptureFile
from giltrace.record.run import (
    Options,
    Outcome,
    Recording,
    ended,
    nothing_recorded,
    session_info,
    spawn,
)
from giltrace.record.running import Running, examine
from giltrace.record.session import Session
from giltrace.record.signals import Interrupted, interruptible
from giltrace.record.status import StatusLine
from giltrace.record.target import Target
from giltrace.runtime.options import OWN_POLICY

# What a process that can run Python at once is given to join or leave.
_SOON_S = 1.0
# At the end nobody wants to wait for ever for a process that has no time for us.
_LEAVE_S = 10.0
_LOOK_S = 0.005


def attach(
    process: Running, options: Options, status: StatusLine, interrupted: Interrupted
) -> Outcome:
    """Record ``process`` until the duration is over, somebody asks to stop, or it ends.

    Raises:
        GiltraceError: it cannot be attached to, or the output not be opened.
    """
    owner = process.uid, process.gid
    # First, so that also threads of libraries that are imported from here on hold signals back.
    with (
        interruptible(),
        Session(options.settings, owner=owner) as session,
        CaptureFile(options.output, force=options.force) as file,
    ):
        about = session_info(list(process.argv), options.settings, options.duration_s)
        about.options.update(options.policy.described())
        options.policy.ask(session)
        collector = Collector(session, writer := CaptureWriter(file.stream, about))
        if options.shared:
            session.announce(options.output)
        _enter(process, session, collector, status, interrupted)
        visit = _Visit(collector, options, status, session)
        outcome = visit.until(interrupted, lambda: None if collector.drains else (None, None))
        outcome.capture_bytes = writer.bytes_written
        outcome.notes += describe_refusals(collector.refusals)
        return outcome


def launch(
    target: Target, options: Options, status: StatusLine, interrupted: Interrupted
) -> Outcome:
    """Start ``target``, record it until somebody asks to stop, and leave it then as if attached to.

    Raises:
        GiltraceError: it cannot be started, or the output not be opened.
    """
    with (
        interruptible() as mask,
        Session(options.settings) as session,
        CaptureFile(options.output, force=options.force) as file,
    ):
        about = session_info(list(target.argv), options.settings, options.duration_s)
        about.options.update(options.policy.described())
        options.policy.ask(session)
        collector = Collector(session, writer := CaptureWriter(file.stream, about))
        pid = spawn(target, session.environment(os.environ), mask)
        visit = _Visit(collector, options, status, session)
        outcome = visit.until(interrupted, lambda: ended(pid))
        outcome.capture_bytes = writer.bytes_written
        outcome.notes += describe_refusals(collector.refusals)
        if outcome.processes == 0 and outcome.failure is None:
            outcome.failure = nothing_recorded(target, collector)
            outcome.notes.clear()
        return outcome


def _enter(
    process: Running,
    session: Session,
    collector: Collector,
    status: StatusLine,
    interrupted: Interrupted,
) -> None:
    """Return once the process is being recorded."""
    bring(process, session, "enter")

    def answered() -> bool:
        collector.poll()
        return bool(collector.drains or collector.refusals) or not _runs(process.pid)

    if not _within(patience_s(process), answered, interrupted) and not interrupted():
        nudge(process, session, "enter")
        status.say(f"waiting for process {process.pid} to run Python code; Ctrl-C gives up")
        while not answered() and not interrupted.wait(_LOOK_S):
            pass
        status.clear()
    if interrupted():
        # It may be on its way in. From now on it will not, or it has an arena in a moment.
        session.withdraw()
        _within(_SOON_S, answered)
    if collector.drains:
        return
    if collector.refusals:
        if (
            collector.refusals[0].executable == ""
        ):  # it has joined, and we cannot read what it writes
            bring(process, session, "leave")
            _within(_SOON_S, lambda: _has_left(session, process.pid))
        raise _refused(process, collector)
    if not _runs(process.pid):
        raise GiltraceError(f"process {process.pid} has ended before it could be recorded")
    raise GiltraceError(
        f"process {process.pid} was not recorded: it has not come to run Python code",
        "What was left in it does nothing any more. Its main thread may be blocked in C code.",
    )


class _Visit(Recording):
    """The loop from when processes have joined to when they have left."""

    def __init__(
        self, collector: Collector, options: Options, status: StatusLine, session: Session
    ) -> None:
        super().__init__(collector, options, status)
        self._session = session
        self._left = False
        self._hooked: list[int] = []
        self._patience_s = 0.0
        self._refusals: dict[int, str] = {}

    def until(
        self, interrupted: Interrupted, over: Callable[[], tuple[int | None, int | None] | None]
    ) -> Outcome:
        """Record until there is a reason to end; whatever it is, the processes are left."""
        try:
            while self._on:
                pause = self._round()
                if (how := over()) is not None:
                    self._end(*how, "the target ended")
                elif interrupted.wait(pause):
                    self._end(None, None, "the recorder was stopped")
        finally:
            self._leave()
        return self._outcome(0, 0)

    def _end(self, code: int | None, number: int | None, reason: str) -> None:
        self._leave()
        super()._end(code, number, reason)

    def _leave(self) -> None:
        """Have every process take the hooks out, and give it some time for that."""
        if self._left:
            return
        self._left = True
        self._status.clear()
        leaving = [drain.pid for drain in self._collector.drains]
        asked = [pid for pid in leaving if self._bring(bring, pid)]

        def left() -> bool:
            self._guarded(self._collector.poll)
            self._hooked = [
                pid for pid in asked if _runs(pid) and not _has_left(self._session, pid)
            ]
            return not self._hooked

        if not _within(self._patience_s, left):
            for pid in self._hooked:
                self._bring(nudge, pid)
            _within(_LEAVE_S, left)

    def _bring(self, how: Callable[[Running, Session, Deed], None], pid: int) -> bool:
        try:
            process = examine(pid, recorded=True)
            how(process, self._session, "leave")
            self._patience_s = max(self._patience_s, patience_s(process))
        except GiltraceError as error:
            if _runs(pid):
                self._refusals[pid] = error.message
            return False
        return True

    def _notes(self, pid: int) -> list[str]:
        return [
            f"process {pid} is recorded no further, but has not yet taken the hooks out: "
            "it does when it next runs Python code"
            for pid in self._hooked
        ] + [
            f"process {pid} is recorded no further, but keeps the hooks: {reason}"
            for pid, reason in self._refusals.items()
        ]


def _refused(process: Running, collector: Collector) -> GiltraceError:
    first = collector.refusals[0]
    if first.not_installed:
        return GiltraceError(
            f"giltrace {__version__} is not installed for the Python {process.python} of process "
            f"{process.pid}: {first.reason.partition(': ')[2]}",
            f"Install it there: {first.executable} -m pip install giltrace",
        )
    if first.reason == OWN_POLICY:
        return GiltraceError(
            f"process {process.pid} follows a policy of its own",
            "Leave out --policy and --priority.",
        )
    return GiltraceError(
        f"process {process.pid} cannot be recorded: {first.reason.rstrip('.')}",
        f"See what is wrong: {first.executable or 'python'} -m giltrace doctor",
    )


def _within(
    seconds: float, happened: Callable[[], bool], interrupted: Interrupted | None = None
) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline or (interrupted is not None and interrupted()):
            return False
        time.sleep(_LOOK_S)
    return True


def _has_left(session: Session, pid: int) -> bool:
    """Whether a process has said that it has undone everything."""
    return (session.path / f"{pid}.left").exists()


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
