"""``giltrace query``: SQL over a capture or an exported trace."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.traces import trace_bytes

if TYPE_CHECKING:
    from giltrace.viewer.processor import Cell, Result

_CELL_LIMIT: Final = 100


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from giltrace.viewer.recipes import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def _print_list(context: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from giltrace.viewer.recipes import all_recipes, tables

    lines = ["Recipes, for --sql NAME:"]
    lines += [f"  {recipe.name:9}  {recipe.help}" for recipe in all_recipes()]
    lines += ["", "Tables, besides Perfetto's own (slice, thread, counter, flow, args, …):"]
    lines += [f"  {name:12}  {about}" for name, about in tables()]
    output.write("\n".join(lines) + "\n")
    context.exit()


@click.command(short_help="Ask a capture or a trace a question in SQL.")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.argument("sql", required=False)
@click.option(
    "--sql", "recipe", metavar="RECIPE", shell_complete=_complete, help="Ask one of the recipes."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_list,
    help="List the recipes and the tables, and exit.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
@click.option(
    "--trace-processor",
    "binary",
    metavar="PATH",
    help="Perfetto's trace_processor_shell.  [default: one on PATH, else the bundled one]",
)
def query(
    file: Path, sql: str | None, recipe: str | None, as_csv: bool, as_json: bool, binary: str | None
) -> None:
    """Ask FILE, a capture or an exported trace, a question in SQL.

    SQL is PerfettoSQL over Perfetto's tables and giltrace's own: gil_hold, gil_wait, gil_off,
    gil_handoff and gil_finding. "-" reads it from stdin. The last statement gives the result.

    \b
    Examples:
      giltrace query run.giltrace --sql blame
      giltrace query run.giltrace 'select thread, sum(dur) from gil_wait group by 1'
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json cannot be used together")
    text = _question(sql, recipe)
    from giltrace.viewer.processor import find_binary, open_trace

    native = find_binary(binary)
    if native is None:
        _announce_compilation()
    with open_trace(trace_bytes(file), binary=native) as queries:
        result = queries.run(text)
    output.write((_as_csv if as_csv else _as_json if as_json else _as_table)(result))


def _question(sql: str | None, recipe: str | None) -> str:
    if recipe is not None:
        if sql is not None:
            raise click.UsageError("give either SQL or --sql RECIPE")
        from giltrace.viewer.recipes import get

        return get(recipe).sql
    if sql is None:
        raise click.UsageError("no question: give SQL, or --sql RECIPE (see --list)")
    return sys.stdin.read() if sql == "-" else sql


def _announce_compilation() -> None:
    from giltrace.viewer import processor

    if processor.missing() is None:
        from giltrace.viewer.wasm import compiled

        if not compiled() and output.is_terminal(sys.stderr):
            diagnostics.say("compiling Perfetto's trace processor, once: some seconds …")


def _as_csv(result: Result) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows(map(_plain, result.rows))
    return out.getvalue()


def _as_json(result: Result) -> str:
    rows = [dict(zip(result.columns, _plain(row), strict=True)) for row in result.rows]
    return json.dumps(rows, indent=1) + "\n"


def _plain(row: tuple[Cell, ...]) -> list[Any]:
    return [cell.hex() if isinstance(cell, bytes) else cell for cell in row]


def _as_table(result: Result) -> str:
    """Columns side by side, numbers to the right; as wide as they need to be."""
    rows = [[_shown(cell) for cell in row] for row in result.rows]
    heads = [_shown(name) for name in result.columns]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    right = [
        any(isinstance(row[at], int | float) for row in result.rows) for at in range(len(widths))
    ]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip() + "\n"

    rule = "  ".join("─" * width for width in widths) + "\n"
    return "".join([line(heads), rule, *map(line, rows)]) if widths else ""


def _shown(cell: Cell) -> str:
    from giltrace.model.text import printable

    if cell is None:
        return ""
    return printable(str(cell.hex() if isinstance(cell, bytes) else cell), _CELL_LIMIT)
