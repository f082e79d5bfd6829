"""``giltrace record``: run a program, record its GIL, explain what was seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from giltrace.cli.flight import conclude_flight, flight_of, flight_options
from giltrace.cli.policies import RECORDED, policy_options
from giltrace.cli.recording import conclude, recording_options, settings
from giltrace.record.policy import Name, policy_of
from giltrace.record.settings import BACKENDS, Backend, Calls


@click.command(
    short_help="Run a program and record its GIL.",
    # Everything from the first word of the target on is the target's own.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@recording_options
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(list(BACKENDS)),
    help="tap: see each hand-off. portable: infer them from function calls, as in PyPy. "
    "auto: do that only where the GIL cannot be tapped.",
)
@click.option(
    "--sched",
    is_flag=True,
    help="Record when the kernel ran each thread, too, and when it took the CPU away.",
)
@policy_options(default=RECORDED)
@flight_options
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET...")
def record(
    path: Path | None,
    force: bool,
    duration_s: float | None,
    stacks: int,
    calls: Calls,
    least_span_us: float,
    backend: Backend,
    sched: bool,
    buffer_mib: int,
    children: bool,
    ring_s: float | None,
    trigger: str,
    cool_down_s: float,
    keep: int,
    quiet: bool,
    policy: Name | None,
    rules: tuple[str, ...],
    target: Sequence[str],
) -> int:
    """Run TARGET and record every hand-off of its GIL.

    TARGET is what you would type after `python`, or any command that starts Python:

    \b
        giltrace record server.py --port 8000
        giltrace record -m pytest tests/
        giltrace record -c 'import app; app.main()'
        giltrace record gunicorn app:app

    It runs as it would without giltrace, and so do the Python processes that it starts, which are
    recorded too (unless --no-children is given). Ctrl-C stops it as usual and leaves a whole
    capture. The exit code is TARGET's; if nothing could be recorded and TARGET itself succeeded,
    it is 1.
    """
    from giltrace.record.fly import fly
    from giltrace.record.run import Options, run
    from giltrace.record.status import StatusLine
    from giltrace.record.target import resolve

    if target and target[0].startswith("-") and target[0] not in ("-m", "-c"):
        raise click.NoSuchOption(target[0])
    resolved = resolve(target)
    options = Options(
        output=path or Path(f"{resolved.label}-{os.getpid()}.giltrace"),
        force=force,
        duration_s=duration_s,
        settings=settings(stacks, calls, least_span_us, buffer_mib, children, backend),
        policy=policy_of(policy, rules),
        sched=sched,
    )
    status = StatusLine(enabled=not quiet)
    flight = flight_of(ring_s, trigger, cool_down_s, keep)
    if flight is None:
        return conclude(run(resolved, options, status), options.output, quiet=quiet)
    outcome = fly(resolved, options, flight, status)
    if flight.triggers:
        return conclude_flight(outcome, quiet=quiet)
    return conclude(outcome, options.output, quiet=quiet)
