"""``giltrace attach``: record a process that runs already."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import click

from giltrace.cli.policies import RECORDED, policy_options
from giltrace.cli.recording import conclude, no_sched, recording_options, settings
from giltrace.record.policy import Name, policy_of
from giltrace.record.settings import Calls


class _Pid(click.IntRange):
    name = "process id"


@click.command(short_help="Record a process that runs already.")
@recording_options
@no_sched
@policy_options(default=RECORDED)
@click.argument("pid", type=_Pid(min=1), metavar="PID")
def attach(
    pid: int,
    path: Path | None,
    force: bool,
    duration_s: float | None,
    stacks: int,
    calls: Calls,
    least_span_us: float,
    buffer_mib: int,
    children: bool,
    quiet: bool,
    policy: Name | None,
    rules: tuple[str, ...],
) -> int:
    """Record the running Python process PID, then leave it as it was.

    \b
        giltrace attach 4711
        giltrace attach --duration 10 -o slow.giltrace 4711

    Recording ends with Ctrl-C, after --duration, or when the process ends. The process goes on
    undisturbed and keeps nothing of giltrace. Processes that it forks meanwhile are recorded, too
    (unless --no-children is given). With --policy it follows that policy while it is recorded.

    This needs the rights of a debugger: a process of your own, where the kernel allows that
    (kernel.yama.ptrace_scope=0), or root. The process's Python must be CPython 3.11 or later, and
    giltrace must be installed for it: this very one, or one in its own environment.
    """
    from giltrace.record.attach import attach as record
    from giltrace.record.run import Options
    from giltrace.record.running import examine
    from giltrace.record.signals import Interrupted
    from giltrace.record.status import StatusLine

    chosen = policy_of(policy, rules)
    process = examine(pid)
    options = Options(
        output=path or _new(f"{process.label}-{pid}", force=force),
        force=force,
        duration_s=duration_s,
        settings=settings(stacks, calls, least_span_us, buffer_mib, children),
        policy=chosen,
    )
    outcome = record(process, options, StatusLine(enabled=not quiet), Interrupted())
    return conclude(outcome, options.output, quiet=quiet)


def _new(name: str, *, force: bool) -> Path:
    """The capture of a process that may be attached to again and again."""
    numbered = (Path(f"{name}-{number}.giltrace") for number in count(2))
    plain = Path(f"{name}.giltrace")
    return plain if force or not plain.exists() else next(p for p in numbered if not p.exists())
