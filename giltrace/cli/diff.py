"""``giltrace diff``: compare two captures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from giltrace.cli import output

_ROWS: Final = 10


@click.command(short_help="Compare two captures, before and after a change.")
@click.argument("before", type=click.Path(path_type=Path, readable=False))
@click.argument("after", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--top", default=_ROWS, show_default=True, type=click.IntRange(min=1), metavar="N",
    help="Rows of each table.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead, times in ns.")
def diff(before: Path, after: Path, top: int, as_json: bool) -> None:
    """Compare the captures BEFORE and AFTER a change: what is gone, what is new, what it gained.

    Threads are matched by name, and the iterations of a thread by the call they begin with, so that
    recordings of different length compare: by second and by iteration.
    """
    from giltrace.model import load
    from giltrace.report import diff as report

    first, second = load(before), load(after)
    if as_json:
        output.write(report.render_json(first, second))
        return
    colour = output.coloured(sys.stdout)
    output.write(report.render(first, second, top=top, width=output.width(), colour=colour))
