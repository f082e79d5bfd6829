"""``giltrace scenario``: run the echo experiment and say what a CPU thread does to a server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.amounts import Amount
from giltrace.cli.diagnostics import ExitCode
from giltrace.errors import GiltraceError

if TYPE_CHECKING:
    from giltrace.scenarios import ScenarioResult

_ALL = "all"
_HEAD = ("scenario", "load", "ms/request", "p50", "p99", "max", "slow-down")


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from giltrace.scenarios.registry import names

    return [name for name in (*names(), _ALL) if name.startswith(incomplete)]


@click.command(short_help="Run a small server that shows the convoy effect.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete)
@click.option(
    "--load",
    "loads",
    metavar="N",
    type=click.IntRange(min=0),
    multiple=True,
    default=(0, 1),
    show_default="0 and 1",
    help="CPU threads beside the server. Give it several times for several runs.",
)
@click.option(
    "--load-kind",
    metavar="KIND",
    default="spin",
    show_default=True,
    help="What they do: spin or fib; or as a control process (has a GIL of its own) or native "
    "(holds none).",
)
@click.option(
    "--requests",
    default=500,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Messages the client sends, each one answered before the next.",
)
@click.option(
    "--size",
    default=8192,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Bytes a message.",
)
@click.option(
    "--sleep-ms",
    default=1.0,
    show_default=True,
    type=Amount(min=0),
    metavar="MS",
    help="Sleep of the client before each message.",
)
@click.option("--time-limit", type=Amount(min=0.001), metavar="S", help="End each run after S.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array with one object a run.")
def scenario(
    names: Sequence[str], loads: Sequence[int], as_json: bool, **settings: Any
) -> ExitCode:
    """Run the servers NAME, by default alone and then beside one CPU thread.

    Without a NAME, list them; `all` means each. To see why a server got slower, record it:

        giltrace record -m giltrace scenario blocking --load 1
    """
    from giltrace.scenarios.registry import names as known

    if not names:
        output.write(json.dumps(known()) + "\n" if as_json else "".join(f"{n}\n" for n in known()))
        return ExitCode.OK
    wanted = known() if _ALL in names else tuple(names)
    results, code = _run(wanted, loads, settings)
    if as_json:
        output.write(json.dumps([result.to_dict() for result in results], indent=2) + "\n")
    elif results:
        output.write(_table(results))
    return code


def _run(
    names: Iterable[str], loads: Iterable[int], settings: dict[str, Any]
) -> tuple[list[ScenarioResult], ExitCode]:
    """Run all; one that cannot run here does not keep the others from running."""
    from giltrace.scenarios import run

    results: list[ScenarioResult] = []
    code = ExitCode.OK
    for name in names:
        for load in loads:
            try:
                results.append(run(name, load=load, **settings))
            except GiltraceError as error:
                diagnostics.error(f"{name}: {error.message}", error.hint)
                code = ExitCode.ERROR
                break
    return results, code


def _table(results: Sequence[ScenarioResult]) -> str:
    alone = {result.scenario: result.ms_per_request for result in results if not result.load}
    rows = [_HEAD, *(_row(result, alone.get(result.scenario)) for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        + "\n"
        for row in rows
    )


def _row(result: ScenarioResult, alone: float | None) -> tuple[str, ...]:
    bound = ">" if result.timed_out else ""
    times = (result.ms_per_request, result.p50_ms, result.p99_ms, result.max_ms)
    load = f"{result.load} {result.load_kind}" if result.load else "alone"
    slower = f"{bound}{result.ms_per_request / alone:.1f}x" if alone and result.load else ""
    return (result.scenario, load, *(f"{bound}{time:.2f}" for time in times), slower)
