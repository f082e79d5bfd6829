"""``giltrace record --ring``: run a program, keep its last seconds, write them when triggered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from giltrace.capture.records import SessionInfo
from giltrace.record.collector import Collector, describe_refusals
from giltrace.record.output import CaptureFile
from giltrace.record.run import (
    Options,
    Outcome,
    Recording,
    cannot_write,
    nothing_recorded,
    session_info,
    spawn,
)
from giltrace.record.scheduling import Scheduling
from giltrace.record.session import Session
from giltrace.record.signals import held_back
from giltrace.record.status import StatusLine
from giltrace.record.target import Target
from giltrace.record.triggers import Flight

SIGNAL: Final = signal.SIGUSR1


def fly(target: Target, options: Options, flight: Flight, status: StatusLine) -> Outcome:
    """Run ``target`` to its end, with a flight recorder.

    Raises:
        GiltraceError: the output cannot be opened or the target not be started.
    """
    # Before numpy is imported: its threads are to hold signals back as well, or they get them.
    with (
        held_back() as mask,
        Session(options.settings) as session,
        CaptureFile(options.output, force=options.force) as file,
        Scheduling(asked=options.sched) as scheduling,
    ):
        if flight.triggers:
            file.discard()  # only to find out whether there can be captures
        return _fly(target, options, flight, status, where=(session, file, mask, scheduling))


def _fly(
    target: Target,
    options: Options,
    flight: Flight,
    status: StatusLine,
    *,
    where: tuple[Session, CaptureFile, set[int], Scheduling],
) -> Outcome:
    session, file, mask, scheduling = where
    from giltrace.record.flight import FlightRecorder

    def about(reason: str) -> SessionInfo:
        info = session_info(list(target.argv), options.settings, options.duration_s)
        info.options.update(options.policy.described() | scheduling.described())
        info.options.update(ring_ns=flight.span_ns, trigger=reason)
        return info

    recorder = FlightRecorder(flight, options.output, about, status.announce)
    collector = Collector(session, recorder, scheduling)
    signals: dict[int, Callable[[], None]] = {}
    if flight.triggers.signal:
        signals[SIGNAL] = recorder.ask
    env = session.environment(options.policy.environment(os.environ))
    pid = spawn(target, env, mask)
    recording = Recording(
        collector,
        options,
        status,
        each_round=lambda: recorder.look(collector.sources),
        signals=signals,
    )
    outcome = recording.follow(pid)
    recorder.look(tuple)  # for what came last; by now the recorder has the sources itself
    outcome.notes += [*recorder.notes, *describe_refusals(collector.refusals)]
    outcome.captures = list(recorder.captures)
    if outcome.processes == 0:
        file.discard()
        outcome.failure = nothing_recorded(target, collector, outcome.exit_code)
        outcome.notes.clear()
    elif not flight.triggers:
        try:
            outcome.capture_bytes = recorder.write_last(file)
        except OSError as error:
            outcome.failure = cannot_write(options.output, error)
    return outcome
