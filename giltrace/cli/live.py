"""``giltrace live``: look at a program while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from giltrace.cli import diagnostics
from giltrace.cli.amounts import Amount
from giltrace.cli.policies import RECORDED, policy_options
from giltrace.cli.recording import no_sched, settings
from giltrace.errors import GiltraceError
from giltrace.record.policy import Name, Policy, policy_of
from giltrace.record.settings import CALLS, Calls, Settings

if TYPE_CHECKING:
    from giltrace.record.live import Watched

_LEAST_SIZE: Final = (60, 20)


@click.command(
    short_help="Look at a program while it runs.",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep everything in this capture. Otherwise only what is saved with Ctrl+S is kept.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the output of TARGET goes.  [default: a file in the folder for temporary ones]",
)
@click.option("--force", is_flag=True, help="Replace these files if they exist.")
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=Amount(min=1, max=3600),
    metavar="S",
    help="How far back one can look.",
)
@click.option(
    "--calls",
    default="io",
    show_default=True,
    type=click.Choice(CALLS),
    help="As of giltrace record.",
)
@no_sched
@policy_options(default=RECORDED)
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="[PID | TARGET...]")
def live(
    path: Path | None,
    log: Path | None,
    force: bool,
    seconds: float,
    calls: Calls,
    policy: Name | None,
    rules: tuple[str, ...],
    target: Sequence[str],
) -> int:
    """Look at a program while it runs: who holds the GIL, who waits, and on whom to blame it.

    \b
        giltrace live server.py --port 8000    start a program, as giltrace record does
        giltrace live 4711                     look at a process that runs already
        giltrace live                          pick one of the recordings under way

    A process that is being recorded already is looked at through that recording, at no cost for it;
    another one is attached to (see giltrace attach). Quitting the view leaves the program running.
    The output of a program that was started here goes into a file, which is named in the view.

    With --policy or --priority the program follows a policy while it is looked at, and + and -
    change the priority of a thread.
    """
    if target and target[0].startswith("-") and target[0] not in ("-m", "-c"):
        raise click.NoSuchOption(target[0])
    chosen = policy_of(policy, rules)
    if not target and chosen.name != "cpython":
        raise click.UsageError("--policy needs a program or a process to follow it.")
    _check_terminal()
    asked = settings(1, calls, 100.0, 16, True)
    watched = _watch(tuple(target), asked, chosen, path, log, force=force)
    if watched is None:
        return 0
    return _look(watched, seconds)


def _check_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise GiltraceError(
            "a live view needs a terminal",
            "Without one: giltrace record, or giltrace attach --duration 10 PID",
        )
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    if columns < _LEAST_SIZE[0] or lines < _LEAST_SIZE[1]:
        raise GiltraceError(
            f"the terminal is too small: {columns}×{lines}",
            f"Make it {_LEAST_SIZE[0]}×{_LEAST_SIZE[1]} at least.",
        )


def _watch(
    target: tuple[str, ...],
    asked: Settings,
    policy: Policy,
    path: Path | None,
    log: Path | None,
    *,
    force: bool,
) -> Watched | None:
    from giltrace.record import live as looking
    from giltrace.record.target import resolve

    if not target:
        return _pick()
    if len(target) == 1 and target[0].isdigit():
        return looking.join(int(target[0]), asked, policy, path, force=force)
    resolve(target)  # what is wrong with it is said before anything is started
    return looking.start(target, asked, policy, path, log, force=force)


def _pick() -> Watched | None:
    from giltrace.record.live import follow
    from giltrace.record.session import under_way
    from giltrace.tui.live.pick import PickApp

    recordings = under_way()
    if not recordings:
        raise GiltraceError(
            "no recording is under way",
            "Start one (giltrace record), or name a process or program.",
        )
    chosen = recordings[0] if len(recordings) == 1 else PickApp(recordings).run()
    return None if chosen is None else follow(chosen)


def _look(watched: Watched, seconds: float) -> int:
    from giltrace.tui.app import theme_named
    from giltrace.tui.live.app import LiveApp

    for name in ("COLUMNS", "LINES"):  # as of giltrace tui
        os.environ.pop(name, None)
    app = LiveApp(watched, theme=theme_named("auto", asking=True), seconds=seconds)
    try:
        app.run()
    finally:
        app.end()
        words = watched.leave()
    for word in words:
        diagnostics.warn(word)
    if app.failure is not None:
        diagnostics.error(app.failure.message, app.failure.hint)
        return diagnostics.ExitCode.ERROR
    if (log := watched.log) is not None:
        goes_on = "The program goes on. Its output" if log.in_use() else "The output of the program"
        diagnostics.say(f"{goes_on}: {log.path}")
    return diagnostics.ExitCode.OK
