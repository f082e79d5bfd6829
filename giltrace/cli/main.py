"""The entry point, and the table of commands.

A command's module is imported only when that command is run, so ``giltrace --help`` and
``giltrace record`` do not pay for numpy, rich or textual. The price is that the one-line help texts
live here; a test holds them against the commands themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from giltrace.cli import diagnostics

PROGRAM: Final = "giltrace"


class Entry(NamedTuple):
    """Where a command lives: its module, its name in there, and its line in ``--help``."""

    module: str
    attribute: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "record": Entry("giltrace.cli.record", "record", "Run a program and record its GIL."),
    "run": Entry(
        "giltrace.cli.run", "run", "Run a program whose urgent threads get the GIL first."
    ),
    "attach": Entry("giltrace.cli.attach", "attach", "Record a process that runs already."),
    "live": Entry("giltrace.cli.live", "live", "Look at a program while it runs."),
    "report": Entry(
        "giltrace.cli.report", "report", "Explain a capture in words, numbers and lines of code."
    ),
    "tui": Entry("giltrace.cli.tui", "tui", "Look at a capture as a timeline in the terminal."),
    "diff": Entry("giltrace.cli.diff", "diff", "Compare two captures, before and after a change."),
    "export": Entry(
        "giltrace.cli.export", "export", "Turn a capture into a file for another program."
    ),
    "view": Entry("giltrace.cli.view", "view", "Show a capture or a trace in the Perfetto UI."),
    "query": Entry("giltrace.cli.query", "query", "Ask a capture or a trace a question in SQL."),
    "scenario": Entry(
        "giltrace.cli.scenario", "scenario", "Run a small server that shows the convoy effect."
    ),
    "bench": Entry(
        "giltrace.cli.bench",
        "bench",
        "Measure the servers, alone and beside CPU load, against the talk.",
    ),
    "doctor": Entry(
        "giltrace.cli.doctor", "doctor", "Say whether recording works here, and what is missing."
    ),
}


class LazyGroup(click.Group):
    """A group whose commands come from `COMMANDS` and whose errors go through `diagnostics`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None if there is no such name.

        Raises:
            GiltraceError: the command needs a package that is not installed.
        """
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command = getattr(import_module(entry.module), entry.attribute)
        except ModuleNotFoundError as error:
            raise diagnostics.missing_package(cmd_name, error) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what click would hide from `diagnostics` is turned into its codes."""
        with diagnostics.translated():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, but errors are reported and turned into exit codes by `diagnostics`.

        A command may return an int, which becomes the exit code.
        """

        def run() -> Any:
            return super(LazyGroup, self).main(
                args,
                prog_name or PROGRAM,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if not standalone_mode:
            return run()
        sys.exit(diagnostics.run(run))


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from giltrace import __version__

    click.echo(f"{PROGRAM} {__version__}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "\b\nStart with: giltrace record script.py\n"
        "or, if it runs already: giltrace attach PID\n\n"
        "Exit codes: 0 done, 1 could not be done, 2 wrong usage, 3 recording cannot work here "
        "(doctor), 70 a fault of giltrace, 130 Ctrl-C, 141 nobody reads stdout any more. "
        "record and run pass on the code of the program."
    ),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """See who holds the GIL while your threads wait, exactly and without root."""


def main() -> None:
    """Run the command line and exit; the console script."""
    cli.main()
