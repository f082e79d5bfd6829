"""``giltrace run``: run a program with priorities for its GIL, without recording it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from giltrace.cli.policies import policy_options
from giltrace.errors import GiltraceError
from giltrace.record.policy import Name, policy_of


@click.command(
    short_help="Run a program whose urgent threads get the GIL first.",
    # Everything from the first word of the target on is the target's own.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@policy_options(default="auto, or manual if there is a --priority")
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET...")
def run(policy: Name | None, rules: tuple[str, ...], target: Sequence[str]) -> int:
    """Run TARGET with threads that do I/O going before threads that compute.

    TARGET is what you would type after `python`, or any command that starts Python:

    \b
        giltrace run server.py --port 8000
        giltrace run --priority batch=-1 gunicorn app:app

    It becomes this process, and nothing is recorded. Python processes that it starts follow the
    same policy. Where an interpreter's GIL cannot be tapped it says so on stderr and goes on as
    without giltrace.
    """
    from giltrace.record.target import resolve

    if target and target[0].startswith("-") and target[0] not in ("-m", "-c"):
        raise click.NoSuchOption(target[0])
    chosen = policy_of(policy or (None if rules else "auto"), rules)
    resolved = resolve(target)
    sys.stdout.flush()
    try:
        os.execve(resolved.argv[0], resolved.argv, chosen.environment(os.environ))  # noqa: S606
    except OSError as error:
        raise GiltraceError(f"cannot start {resolved.argv[0]}: {error.strerror}") from None
