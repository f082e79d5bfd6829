"""``giltrace export``: turn a capture into a file for another program."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from giltrace.cli import diagnostics
from giltrace.cli.files import STDOUT, open_output, refuse_same_file

CAPTURE_SUFFIX: Final = ".giltrace"
_TEXT_SUFFIXES: Final = (".json", ".csv", ".txt")


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from giltrace.export.registry import names

    return [name for name in names() if name.startswith(incomplete)]


@click.command(short_help="Turn a capture into a file for another program.")
@click.argument("capture", type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "format_",
    default="perfetto",
    show_default=True,
    shell_complete=_complete,
    help="perfetto, chrome or csv.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write; - is stdout.  [default: CAPTURE with the suffix of the format]",
)
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def export(capture: Path, format_: str, output: Path | None, force: bool) -> None:
    """Turn CAPTURE into a file for the Perfetto UI, for chrome://tracing or for a spreadsheet.

    The output appears only when it is complete. Without -o it stands beside CAPTURE:
    run.giltrace becomes run.pftrace.
    """
    from giltrace.export.registry import create

    exporter = create(format_)
    target = output or default_output(capture, exporter.suffix)
    refuse_same_file(capture, target)

    from giltrace.model import load

    trace = load(capture)
    text = exporter.suffix.endswith(_TEXT_SUFFIXES)
    with open_output(target, force=force, text=text) as file:
        exporter.write(trace, file)
    for note in trace.notes:
        diagnostics.warn(note)
    if target != STDOUT:
        diagnostics.say(f"wrote {target}")


def default_output(capture: Path, suffix: str) -> Path:
    """``capture`` with ``suffix`` instead of ``.giltrace``, or after whatever else it ends in."""
    if capture.suffix == CAPTURE_SUFFIX:
        return capture.with_suffix(suffix)
    return capture.with_name(capture.name + suffix)
