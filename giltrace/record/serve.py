"""The recorder behind a live view: ``python -m giltrace.record.serve OUTPUT OPTIONS -- TARGET``.

It is a process of its own, so that nothing the view does can make it late. It records until its
standard input ends, when the view is left or dies; then it leaves the target, which goes on.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from giltrace.errors import GiltraceError
from giltrace.record.attach import attach, launch
from giltrace.record.policy import Policy
from giltrace.record.run import Options
from giltrace.record.running import examine
from giltrace.record.settings import Settings
from giltrace.record.signals import Interrupted
from giltrace.record.status import StatusLine
from giltrace.record.target import resolve


class UntilInputEnds(Interrupted):
    """Asked to stop by signals, as ever, and by the end of what was standard input."""

    def __init__(self) -> None:
        super().__init__()
        self._input = os.dup(0)
        # The view's, not the target's.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def wait(self, timeout_s: float) -> bool:
        """Wait for it, at most so long; returns whether it has happened."""
        ended = bool(select.select([self._input], [], [], timeout_s)[0])
        self._asked = self._asked or ended
        return super().wait(0)


def command(
    output: Path,
    settings: Settings,
    policy: Policy,
    told: int,
    *,
    force: bool = False,
    pid: int = 0,
    target: tuple[str, ...] = (),
) -> list[str]:
    """The command line that starts a recorder, for a process or for a target that it starts.

    ``told`` is the descriptor on which it says what is to be said.
    """
    asked: dict[str, Any] = {"settings": asdict(settings), "policy": asdict(policy)}
    asked |= {"force": force, "pid": pid, "told": told}
    words = [sys.executable, "-m", "giltrace.record.serve", str(output), json.dumps(asked)]
    return [*words, *target]


def main(output: str, asked: str, *target: str) -> int:
    """Record; returns an exit status."""
    wanted: dict[str, Any] = json.loads(asked)
    os.set_inheritable(wanted["told"], False)
    name, rules = wanted["policy"]["name"], wanted["policy"]["rules"]
    options = Options(
        Path(output),
        force=wanted["force"],
        settings=Settings(**wanted["settings"]),
        policy=Policy(name, tuple(map(tuple, rules))),
        shared=False,
    )
    status = StatusLine(enabled=False)
    try:
        outcome = (
            attach(examine(wanted["pid"]), options, status, UntilInputEnds())
            if wanted["pid"]
            else launch(resolve(target), options, status, UntilInputEnds())
        )
    except GiltraceError as error:
        _tell(wanted["told"], error)
        return 1
    for note in outcome.notes:
        _tell(wanted["told"], GiltraceError(note))
    if outcome.failure is not None:
        _tell(wanted["told"], outcome.failure)
        return 1
    return 0


def _tell(told: int, error: GiltraceError) -> None:
    """One line for the view: what is wrong, and what to do."""
    with suppress(OSError):  # the view may be gone
        os.write(told, json.dumps([error.message, error.hint]).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
