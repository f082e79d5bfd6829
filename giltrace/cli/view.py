"""``giltrace view``: a trace in the Perfetto UI."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from pathlib import Path

import click

from giltrace.cli import diagnostics
from giltrace.cli.traces import trace_bytes


@click.command(short_help="Show a capture or a trace in the Perfetto UI.")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--online", is_flag=True, help="Use ui.perfetto.dev instead of the bundled UI.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Listen on this port of 127.0.0.1.  [default: one that is free]",
)
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
def view(file: Path, online: bool, port: int, no_browser: bool) -> None:
    """Show FILE, a capture or an exported trace, in the Perfetto UI.

    The UI comes from this machine (the extra 'ui') and asks no other. With --online it is the one
    at ui.perfetto.dev; the trace is handed to it inside the browser and is not uploaded.

    The command ends when the tab is closed (with --online: when the trace has been handed over), or
    with Ctrl-C.
    """
    from giltrace.model.text import printable
    from giltrace.viewer import bundle
    from giltrace.viewer.server import Server, Show

    ui = None if online else bundle.require("the Perfetto UI").root
    server = Server(Show(trace_bytes(file), printable(file.name), ui), port)
    opened = False if no_browser else _open(server.url)
    if not opened and not no_browser:
        diagnostics.warn("no browser could be opened", "Open the address below in one.")
    if not opened:
        click.echo(server.url)
    diagnostics.say("showing it until its tab is closed; Ctrl-C ends it, too")
    server.run()


def _open(url: str) -> bool:
    """Open the user's browser; False if there is none that can be shown."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER")
    ):
        # What is left are browsers for the terminal, and they cannot run the UI.
        return shutil.which("wslview") is not None and webbrowser.open(url)
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
