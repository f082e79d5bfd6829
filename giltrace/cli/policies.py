"""The options that say under which policy a program is to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from giltrace.record.policy import NAMES

RECORDED: Final = "cpython, or manual if there is a --priority"
"""What happens without these options where a program is recorded."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def policy_options(*, default: str) -> Callable[[_Command], _Command]:
    """Give a command ``--policy`` and ``--priority``; `record.policy.policy_of` reads them.

    Args:
        default: what happens without them, in words.
    """

    def decorate(command: _Command) -> _Command:
        command = click.option(
            "--priority",
            "rules",
            multiple=True,
            metavar="PATTERN=N",
            help="Threads whose name matches the shell pattern PATTERN have priority N: "
            "above 0 more urgent, below 0 less. Can be given several times; the first that "
            "matches counts.",
        )(command)
        return click.option(
            "--policy",
            type=click.Choice(NAMES),
            help="Who gets the GIL next. auto: threads that use it little and let go of it by "
            "themselves. manual: threads of higher priority. cpython: as without giltrace.  "
            f"[default: {default}]",
        )(command)

    return decorate
