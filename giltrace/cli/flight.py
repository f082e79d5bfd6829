"""The flight recorder on the command line: its options, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from giltrace.cli import diagnostics
from giltrace.cli.amounts import Amount
from giltrace.cli.diagnostics import ExitCode

if TYPE_CHECKING:
    from giltrace.record.run import Outcome
    from giltrace.record.triggers import Flight

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--ring",
        "ring_s",
        type=Amount(min=1),
        metavar="S",
        help="Keep only the last S seconds, in memory; write them at the end, or when triggered.",
    ),
    click.option(
        "--trigger",
        default="",
        metavar="WHEN",
        help="With --ring: write a capture whenever that happens, for instance "
        "'wait>20ms|hold>50ms|signal' (SIGUSR1 to giltrace).",
    ),
    click.option(
        "--cool-down",
        "cool_down_s",
        default=60.0,
        show_default=True,
        type=Amount(min=0),
        metavar="S",
        help="With --trigger: after a capture, let S seconds pass before the next.",
    ),
    click.option(
        "--keep",
        default=10,
        show_default=True,
        type=click.IntRange(1),
        metavar="N",
        help="With --trigger: keep the latest N captures (FILE-1, FILE-2, …); older ones go.",
    ),
)


def flight_options(command: _Command) -> _Command:
    """Give a command what says what to keep and when to write it: see `flight_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def flight_of(ring_s: float | None, trigger: str, cool_down_s: float, keep: int) -> Flight | None:
    """What these options ask for; None: everything is to be recorded.

    Raises:
        GiltraceError, click.UsageError: they make no sense.
    """
    from giltrace.record.triggers import Flight, Triggers

    triggers = Triggers.parse(trigger)
    if ring_s is not None:
        return Flight(round(ring_s * 1e9), triggers, round(cool_down_s * 1e9), keep)
    if triggers:
        raise click.UsageError("--trigger needs --ring: how many seconds to keep.")
    for parameter, option in (("cool_down_s", "--cool-down"), ("keep", "--keep")):
        if _is_given(parameter):
            raise click.UsageError(f"{option} needs --ring and --trigger.")
    return None


def _is_given(parameter: str) -> bool:
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(parameter) if context else None
    return source is click.core.ParameterSource.COMMANDLINE


def conclude_flight(outcome: Outcome, *, quiet: bool) -> int:
    """Say what was triggered; returns the exit code."""
    for note in outcome.notes:
        diagnostics.warn(note)
    if outcome.failure is not None:
        diagnostics.error(outcome.failure.message, outcome.failure.hint)
        return outcome.exit_code or ExitCode.ERROR
    if quiet:
        return outcome.exit_code
    diagnostics.say(f"\n{outcome.events:,} events")
    if outcome.captures:
        diagnostics.say(f"Captured: {', '.join(map(str, outcome.captures))}")
        diagnostics.say(f"What is in it: giltrace report {outcome.captures[-1]}")
    else:
        diagnostics.say("Nothing happened that was to be captured.")
    return outcome.exit_code
