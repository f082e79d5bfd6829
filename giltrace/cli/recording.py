"""What the commands that record have in common: their options, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.amounts import Amount
from giltrace.cli.diagnostics import ExitCode
from giltrace.errors import GiltraceError
from giltrace.record.settings import CALLS, Backend, Calls, Settings

if TYPE_CHECKING:
    from giltrace.record.run import Outcome

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "-o",
        "--output",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The capture to write.  [default: NAME-PID.giltrace]",
    ),
    click.option("--force", is_flag=True, help="Replace FILE if it exists."),
    click.option(
        "--duration",
        "duration_s",
        type=Amount(min=0, min_open=True),
        metavar="S",
        help="Record for S seconds, then let the program go on without being recorded.",
    ),
    click.option(
        "--stacks",
        default=1,
        show_default=True,
        type=click.IntRange(1, 64),
        metavar="N",
        help="Record N Python frames each time a thread lets the GIL go.",
    ),
    click.option(
        "--calls",
        default="io",
        show_default=True,
        type=click.Choice(CALLS),
        help="io: name the C calls in which threads let the GIL go (it costs next to nothing). "
        "all: record calls of Python functions as well.",
    ),
    click.option(
        "--least-span",
        "least_span_us",
        default=100.0,
        show_default=True,
        type=Amount(min=0),
        metavar="US",
        help="With --calls all: leave out function calls shorter than US microseconds.",
    ),
    click.option(
        "--buffer",
        "buffer_mib",
        default=16,
        show_default=True,
        type=click.IntRange(1, 1024),
        metavar="MIB",
        help="Memory for events that are not yet in FILE, per process.",
    ),
    click.option(
        "--children/--no-children",
        default=True,
        show_default=True,
        help="Record the Python processes that it starts, too.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong."),
)


def recording_options(command: _Command) -> _Command:
    """Give a command what says how to record: see `settings` for what to do with it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def no_sched(command: _Command) -> _Command:
    """Give a command a ``--sched`` that says where there is one."""

    def refuse(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            raise GiltraceError(
                f"'{context.command_path}' does not record what the kernel does with the threads",
                "giltrace record --sched does: that is recorded from the start of a program.",
                exit_code=ExitCode.USAGE,
            )

    return click.option("--sched", is_flag=True, hidden=True, expose_value=False, callback=refuse)(
        command
    )


def settings(
    stacks: int,
    calls: Calls,
    least_span_us: float,
    buffer_mib: int,
    children: bool,
    backend: Backend = "auto",
) -> Settings:
    """What the processes are asked to record, by the values of these options."""
    return Settings(
        stacks=stacks,
        chunks=buffer_mib * 256,
        calls=calls,
        least_span_ns=round(least_span_us * 1000),
        backend=backend,
        children=children,
    )


def conclude(outcome: Outcome, capture: Path, *, quiet: bool) -> int:
    """Say how it went and explain the capture; returns the exit code."""
    for note in outcome.notes:
        diagnostics.warn(note)
    if outcome.failure is not None:
        diagnostics.error(outcome.failure.message, outcome.failure.hint)
        return outcome.exit_code or ExitCode.ERROR
    if not quiet:
        _explain(capture)
        diagnostics.say(
            f"\n{outcome.events:,} events, {_size(outcome.capture_bytes)}: {capture}\n"
            f"With numbers and lines: giltrace report {capture}\n"
            f"As a timeline: giltrace tui {capture}"
        )
    return outcome.exit_code


def _explain(capture: Path) -> None:
    """Write to stderr, for stdout is the target's, how `giltrace report` begins.

    Its tables would push the words off the screen.
    """
    from giltrace.model import load
    from giltrace.report import terminal

    if output.is_terminal(sys.stderr):
        diagnostics.say("")  # whatever the target wrote last
    diagnostics.say(
        terminal.render(
            load(capture),
            tables=False,
            width=output.width(sys.stderr),
            colour=output.coloured(sys.stderr),
        ).rstrip("\n")
    )


def _size(number: int) -> str:
    """In MB, or in kB if it is small."""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{-(-number // 1000):,} kB"
