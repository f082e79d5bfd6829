"""``giltrace export``: turn a capture into a file for another program."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import click

from giltrace.cli import diagnostics
from giltrace.cli.files import STDOUT, open_output, refuse_same_file

CAPTURE_SUFFIX: Final = ".giltrace"
GZIP_SUFFIX: Final = ".gz"
_TEXT_SUFFIXES: Final = (".json", ".csv", ".txt")
_LEVEL: Final = 6


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from giltrace.export.registry import names

    return [name for name in names() if name.startswith(incomplete)]


@click.command(short_help="Turn a capture into a file for another program.")
@click.argument("capture", type=click.Path(path_type=Path, readable=False))
@click.option(
    "-f",
    "--format",
    "format_",
    shell_complete=_complete,
    help="perfetto, chrome, firefox, csv or parquet.  "
    "[default: by the suffix of -o, else perfetto]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write; - is stdout, and .gz compresses.  "
    "[default: CAPTURE with the suffix of the format]",
)
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def export(capture: Path, format_: str | None, output: Path | None, force: bool) -> None:
    """Turn CAPTURE into a file for a trace viewer, a database or a spreadsheet.

    The output appears only when it is complete. Without -o it stands beside CAPTURE:
    run.giltrace becomes run.pftrace.
    """
    from giltrace.export.registry import create, name_for

    exporter = create(format_ or name_for(output.name if output else ""))
    target = output or default_output(capture, exporter.suffix)
    refuse_same_file(capture, target)

    from giltrace.model import load

    trace = load(capture)
    packed = target.suffix == GZIP_SUFFIX
    text = exporter.suffix.endswith(_TEXT_SUFFIXES) and not packed
    with open_output(target, force=force, text=text) as file, _packed(file, packed) as out:
        exporter.write(trace, out)
    for note in trace.notes:
        diagnostics.warn(note)
    if target != STDOUT:
        diagnostics.say(f"wrote {target}")


@contextmanager
def _packed(file: BinaryIO, packed: bool) -> Iterator[BinaryIO]:
    """The file, or a stream that compresses into it."""
    if not packed:
        yield file
        return
    # Without a time and a name of its own, the same trace makes the same file.
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream:
        yield cast("BinaryIO", stream)


def default_output(capture: Path, suffix: str) -> Path:
    """``capture`` with ``suffix`` instead of ``.giltrace``, or after whatever else it ends in."""
    if capture.suffix == CAPTURE_SUFFIX:
        return capture.with_suffix(suffix)
    return capture.with_name(capture.name + suffix)
