"""``giltrace doctor``: say whether recording works here, and what is missing."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from giltrace.cli import diagnostics, output
from giltrace.cli.diagnostics import ExitCode

if TYPE_CHECKING:
    from giltrace.doctor import Check

_COLOURS: Final = {"ok": "green", "missing": "red", "note": "yellow"}
_STATUS_WIDTH: Final = max(map(len, _COLOURS)) + 2
_NAME_WIDTH: Final = 17
_WIDTH: Final = 100
_DETAIL_LIMIT: Final = 300


@click.command(short_help="Say whether recording works here, and what is missing.")
@click.argument("capture", required=False, type=click.Path(path_type=Path, readable=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def doctor(capture: Path | None, as_json: bool) -> ExitCode:
    """Say whether recording works with this interpreter on this machine, and what is missing.

    With a CAPTURE, say instead what is missing in this file, and check that what is there obeys the
    laws of the GIL: one holder at a time, and no more held time than there was.

    Exits with 3 if recording cannot work, with 1 if the capture cannot be read or breaks a law.
    """
    from giltrace.doctor import can_record, examine_capture, examine_machine

    checks = examine_machine() if capture is None else examine_capture(capture)
    verdict = can_record(checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        key = "recording" if capture is None else "sound"
        sound = verdict if capture is None else not _missing(checks)
        output.write(json.dumps({key: sound, "checks": rows}, indent=2) + "\n")
    else:
        output.write(_lines(checks))
    if capture is not None:
        if _missing(checks):
            diagnostics.error("the capture breaks a law of the GIL", "Please report it.")
            return ExitCode.ERROR
        return ExitCode.OK
    if not verdict:
        diagnostics.error("recording cannot work here", "See the lines marked 'missing'.")
        return ExitCode.UNSUPPORTED
    return ExitCode.OK


def _missing(checks: Sequence[Check]) -> bool:
    return any(check.status == "missing" for check in checks)


def _lines(checks: Sequence[Check]) -> str:
    import sys

    coloured = output.coloured(sys.stdout)
    columns = min(output.width() or _WIDTH, _WIDTH)
    return "".join(_line(check, columns, coloured) for check in checks)


def _line(check: Check, columns: int, coloured: bool) -> str:
    from giltrace.model.text import printable

    status = check.status.value.ljust(_STATUS_WIDTH)
    if coloured:
        status = click.style(status, fg=_COLOURS[check.status.value])
    margin = _STATUS_WIDTH + _NAME_WIDTH
    if columns < 2 * margin:
        margin = 4  # narrow: the detail goes on lines of its own
    text = printable(check.detail, _DETAIL_LIMIT)
    if check.remedy:
        text += f". Remedy: {printable(check.remedy, _DETAIL_LIMIT)}"
    body = textwrap.wrap(
        text,
        max(columns - margin, 16),
        break_on_hyphens=False,
    ) or [""]
    indent = " " * margin
    head = f"{status}{check.name.ljust(_NAME_WIDTH)}"
    if margin == 4:
        return "\n".join([head.rstrip(), *(indent + line for line in body)]) + "\n"
    return f"{head}{body[0]}\n" + "".join(f"{indent}{line}\n" for line in body[1:])
