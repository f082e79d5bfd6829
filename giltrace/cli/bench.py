"""``giltrace bench``: all servers, alone and beside CPU load, compared with the talk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from giltrace.cli.amounts import Amount
from giltrace.cli.diagnostics import ExitCode

_SERVERS_ONLY: Final = (
    *(
        "names",
        "load_kinds",
        "requests",
        "size",
        "sleep_ms",
        "pin",
        "time_limit",
        "plot",
        "policies",
    ),
)


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from giltrace.scenarios.registry import names

    return [name for name in (*names(), "all") if name.startswith(incomplete)]


def _number(_context: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number.")
    return value


@click.command(short_help="Measure the servers, alone and beside CPU load, against the talk.")
@click.argument("names", metavar="[SCENARIO]...", nargs=-1, shell_complete=_complete)
@click.option(
    "--requests",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="Requests a run.  [default: 300, with --full 10000]",
)
@click.option(
    "--size",
    default=8192,
    show_default=True,
    type=click.IntRange(1, 64 * 1024 * 1024),
    metavar="N",
    help="Bytes a message.",
)
@click.option(
    "--sleep-ms",
    default=1.0,
    show_default=True,
    type=Amount(0, 3_600_000),
    callback=_number,
    metavar="MS",
    help="Sleep of the client before each message.",
)
@click.option(
    "--load",
    "loads",
    type=click.IntRange(0, 1000),
    multiple=True,
    metavar="N",
    help="CPU threads beside the server; several times for several.  [default: 0 and 1]",
)
@click.option(
    "--load-kind",
    "load_kinds",
    default=("spin",),
    show_default="spin",
    multiple=True,
    metavar="KIND",
    help="What they do: spin or fib; or as a control process (has a GIL of its own) or native "
    "(holds none). Several times for several.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Run everything N times, and show medians.  [default: 3, with --full 1]",
)
@click.option(
    "--switch-interval",
    "switch_intervals",
    multiple=True,
    metavar="LIST",
    help="Such as 5ms or 0.005; a list sweeps: 10ms,5ms,100us.  [default: the interpreter's]",
)
@click.option(
    "--policy",
    "policies",
    type=click.Choice(("cpython", "manual", "auto")),
    multiple=True,
    help="Who gets the GIL next; several times for several. manual gives the CPU threads priority "
    "-1. Beside several switch intervals, manual and auto run with the first.  [default: cpython]",
)
@click.option("--pin", is_flag=True, help="Hold the server, but not its client, to one core.")
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="EXE",
    help="Run on this interpreter; several times for several. CPython 3.9 or newer, PyPy.",
)
@click.option(
    "--time-limit",
    type=Amount(0.001, 1_000_000),
    callback=_number,
    metavar="S",
    help="End a run after S seconds.  [default: several times what the slowest should take]",
)
@click.option(
    "--record",
    "record_dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Record each run: a capture in DIR, named after what it is.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="OUT", help="Write JSON, too."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Draw a plot, too: OUT.svg or OUT.png.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--full", is_flag=True, help="As in the talk: 10000 requests; takes minutes.")
@click.option(
    "--ccbench",
    is_flag=True,
    help="Instead of the servers: throughput, latency and bandwidth beside CPU threads.",
)
@click.pass_context
def bench(context: click.Context, /, names: Sequence[str], **given: Any) -> ExitCode:
    """Run the servers SCENARIO, by default those of the talk, alone and beside one CPU thread.

    Each run is a process of its own, and has its client in another one. The table shows what the
    talk measured beside what you see here, and what the CPU thread kept of its speed. In a minute
    or two:

        giltrace bench

    Ctrl-C ends the run under way and shows what there is. `all` means each server; the talk's
    were c-zmq, python-zmq, multiprocessing, blocking and nonblocking.
    """
    from giltrace.cli.bench_run import Bench, Request

    request = Request(names=names, **given)
    if request.ccbench:
        _refuse_with_ccbench(context)
    request.check()
    return Bench(request).run()


def _refuse_with_ccbench(context: click.Context) -> None:
    for param in context.command.params:
        name = param.name or ""
        if name in _SERVERS_ONLY and context.get_parameter_source(name) not in (
            ParameterSource.DEFAULT,
            None,
        ):
            what = "SCENARIO" if name == "names" else param.opts[0]
            raise click.UsageError(f"--ccbench runs no servers; leave out {what}")
