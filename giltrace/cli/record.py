"""``giltrace record``: run a program, record its GIL, explain what was seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.diagnostics import ExitCode
from giltrace.record.settings import BACKENDS, CALLS, Backend, Calls, Settings

if TYPE_CHECKING:
    from giltrace.record.run import Outcome

_ROWS = 5


@click.command(
    short_help="Run a program and record its GIL.",
    # Everything from the first word of the target on is the target's own.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The capture to write.  [default: NAME-PID.giltrace]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Record for S seconds, then let the program go on without being recorded.",
)
@click.option(
    "--stacks",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    metavar="N",
    help="Record N Python frames each time a thread lets the GIL go.",
)
@click.option(
    "--calls",
    default="io",
    show_default=True,
    type=click.Choice(CALLS),
    help="io: name the C calls in which threads let the GIL go (it costs next to nothing). "
    "all: record calls of Python functions as well.",
)
@click.option(
    "--least-span",
    "least_span_us",
    default=100.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="US",
    help="With --calls all: leave out function calls shorter than US microseconds.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(list(BACKENDS)),
    help="tap: see each hand-off. portable: infer them from function calls, as in PyPy. "
    "auto: do that only where the GIL cannot be tapped.",
)
@click.option(
    "--buffer",
    "buffer_mib",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    metavar="MIB",
    help="Memory for events that are not yet in FILE, per process.",
)
@click.option(
    "--children/--no-children",
    default=True,
    show_default=True,
    help="Record the Python processes that TARGET starts, too.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET...")
def record(
    path: Path | None,
    force: bool,
    duration_s: float | None,
    stacks: int,
    calls: Calls,
    least_span_us: float,
    backend: Backend,
    buffer_mib: int,
    children: bool,
    quiet: bool,
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
        settings=Settings(
            stacks=stacks,
            chunks=buffer_mib * 256,
            calls=calls,
            least_span_ns=round(least_span_us * 1000),
            backend=backend,
            children=children,
        ),
    )
    outcome = run(resolved, options, StatusLine(enabled=not quiet))
    return _conclude(outcome, options.output, quiet=quiet)


def _conclude(outcome: Outcome, capture: Path, *, quiet: bool) -> int:
    """Say how it went and explain the capture; returns the exit code."""
    for note in outcome.notes:
        diagnostics.warn(note)
    if outcome.failure is not None:
        diagnostics.error(outcome.failure.message, outcome.failure.hint)
        return outcome.exit_code or ExitCode.ERROR
    if not quiet:
        _explain(capture)
        diagnostics.say(
            f"\n{outcome.events:,} events, {outcome.capture_bytes / 1e6:.1f} MB: {capture}\n"
            f"More of it: giltrace report {capture}"
        )
    return outcome.exit_code


def _explain(capture: Path) -> None:
    """Write to stderr what `giltrace report` writes to stdout: that one is the target's."""
    from giltrace.model import load
    from giltrace.report import terminal

    if output.is_terminal(sys.stderr):
        diagnostics.say("")  # whatever the target wrote last
    diagnostics.say(
        terminal.render(
            load(capture),
            top=_ROWS,
            width=output.width(sys.stderr),
            colour=output.coloured(sys.stderr),
        ).rstrip("\n")
    )
