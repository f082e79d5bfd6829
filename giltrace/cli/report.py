"""``giltrace report``: explain a capture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from giltrace.cli import output

_ROWS: Final = 10


@click.command(short_help="Explain a capture in words, numbers and lines of code.")
@click.argument("capture", type=click.Path(path_type=Path))
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rows of each table, and of blame in JSON.  [default: 10, and all in JSON]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead, times in ns.")
def report(capture: Path, top: int | None, as_json: bool) -> None:
    """Explain CAPTURE: who held the GIL, who waited for it, for how long and at which line.

    First one paragraph in words; then the threads, the worst waits, and who waited for whom.
    """
    from giltrace.model import load

    trace = load(capture)
    if as_json:
        from giltrace.report import json

        output.write(json.render(trace, top=top))
        return
    from giltrace.report import terminal

    colour = output.coloured(sys.stdout)
    output.write(terminal.render(trace, top=top or _ROWS, width=output.width(), colour=colour))
