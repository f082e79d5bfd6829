"""``giltrace tui``: a capture as a timeline in the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from giltrace.cli import diagnostics, files, output
from giltrace.errors import GiltraceError

if TYPE_CHECKING:
    from giltrace.tui.app import GiltraceApp

_LARGE = 8 << 20
"""Bytes of a capture from which on reading takes more than a moment."""


def _size(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in characters, as a terminal might have."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(width) < 4 > len(height)):
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 120x40")
    return int(width), int(height)


def _svg(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    """A name that says what the picture is, or stdout."""
    if value is not None and value != files.STDOUT and value.suffix.lower() != ".svg":
        raise click.BadParameter(f"the picture is an SVG: '{value}' has to end in .svg")
    return value


@click.command(short_help="Look at a capture as a timeline in the terminal.")
@click.argument("capture", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--theme",
    default="auto",
    metavar="NAME",
    show_default=True,
    help="auto (as dark as the terminal), terminal (its own colours), or one of textual's.",
)
@click.option("--mono", is_flag=True, help="Characters instead of colours; NO_COLOR does the same.")
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path),
    callback=_svg,
    metavar="OUT.svg",
    help="Write a picture of the screen instead; needs no terminal.",
)
@click.option(
    "--size",
    default="120x36",
    callback=_size,
    metavar="WIDTHxHEIGHT",
    show_default=True,
    help="Of that screen, in characters.",
)
@click.option(
    "--keys", default="", metavar="KEY,...", help="Press these keys before, such as w,enter,2."
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
def tui(
    capture: Path,
    theme: str,
    mono: bool,
    screenshot: Path | None,
    size: tuple[int, int],
    keys: str,
    force: bool,
) -> None:
    """Look at CAPTURE: a lane for each thread, and who holds the GIL above them.

    \b
    w, x, s     go to the next wait, the longest wait, the next convoy stall
    z Z ← →     zoom and pan; so do the wheel and dragging with the mouse
    a           follow the hand-off to the other thread
    2           findings in words; Enter shows where each can be seen
    ?           all keys
    """
    pressed = [key for key in keys.split(",") if key]
    if screenshot is None:
        if pressed:
            raise click.UsageError("--keys are pressed before a --screenshot only")
        _needs_terminal()
    from giltrace.model import load
    from giltrace.model.text import printable
    from giltrace.tui.app import GiltraceApp, theme_named
    from giltrace.tui.screenshot import check_keys
    from giltrace.tui.trace_source import TraceSource

    check_keys(pressed)
    if screenshot is None and capture.is_file() and capture.stat().st_size > _LARGE:
        diagnostics.say(f"reading {printable(str(capture))} …")
    chosen = theme_named(theme, asking=screenshot is None)
    source = TraceSource(load(capture))
    app = GiltraceApp(source, printable(capture.name, 60), theme=chosen, mono=mono)
    if screenshot is None:
        for name in ("COLUMNS", "LINES"):
            # They are for programs that print; here they would hide the terminal's size, and
            # that it changes.
            os.environ.pop(name, None)
        app.run()
        return
    _picture(app, screenshot, size, pressed, force=force)


def _picture(
    app: GiltraceApp, path: Path, size: tuple[int, int], keys: list[str], *, force: bool
) -> None:
    from giltrace.tui.screenshot import screenshot

    with files.open_output(path, force=force, text=True) as file:
        file.write(screenshot(app, size, keys).encode())


def _needs_terminal() -> None:
    if not output.is_terminal(sys.stdout) or not output.is_terminal(sys.stdin):
        raise GiltraceError(
            "this needs a terminal, for both keys and screen",
            "Run it in one, or write a picture with --screenshot OUT.svg, "
            "or a report with giltrace report.",
        )
    if os.environ.get("TERM", "dumb") in {"", "dumb"}:
        raise GiltraceError(
            "this terminal cannot move its cursor (TERM is 'dumb' or not set)",
            "Use another one, or giltrace report.",
        )
