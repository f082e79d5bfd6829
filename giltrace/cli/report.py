"""``giltrace report``: explain a capture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.amounts import Amount
from giltrace.cli.files import STDOUT, open_output, refuse_same_file

if TYPE_CHECKING:
    from giltrace.model import Trace

_ROWS: Final = 10


@click.command(short_help="Explain a capture in words, numbers and lines of code.")
@click.argument("capture", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rows of each table.  [default: 10, and all in JSON]",
)
@click.option(
    "--think-ms",
    type=Amount(min=0),
    metavar="MS",
    help="How long clients take from a reply to their next request, for predictions. "
    "[default: as far as the recording shows it]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead, times in ns.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Write one HTML file instead, which needs nothing else; - is stdout.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def report(
    capture: Path,
    top: int | None,
    think_ms: float | None,
    as_json: bool,
    page: Path | None,
    force: bool,
) -> None:
    """Explain CAPTURE: what is the matter with the GIL, why, what it costs and what to do.

    First in words, with what remedies are predicted to gain; then in numbers: the threads, the
    worst waits, who waited for whom at which line, and in which calls threads were off the GIL.
    """
    if as_json and page is not None:
        raise click.UsageError("--json and --html are two outputs: choose one")
    if page is not None:
        refuse_same_file(capture, page)

    from giltrace.model import load

    trace = load(capture)
    think_ns = None if think_ms is None else round(think_ms * 1e6)
    if as_json:
        from giltrace.report import json

        output.write(json.render(trace, top=top, think_ns=think_ns))
        return
    if page is not None:
        _write_page(trace, page, top=top, think_ns=think_ns, force=force)
        return
    from giltrace.report import terminal

    colour = output.coloured(sys.stdout)
    text = terminal.render(
        trace, top=top or _ROWS, width=output.width(), colour=colour, think_ns=think_ns
    )
    output.write(text)


def _write_page(
    trace: Trace, page: Path, *, top: int | None, think_ns: int | None, force: bool
) -> None:
    from giltrace.report.html.page import render

    with open_output(page, force=force, text=True) as file:
        file.write(render(trace, top=top or _ROWS, think_ns=think_ns).encode())
    for note in trace.notes:
        diagnostics.warn(note)
    if page != STDOUT:
        diagnostics.say(f"wrote {page}")
