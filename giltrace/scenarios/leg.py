"""One run of one server in a process of its own, for whoever compares many of them.

    python -m giltrace.scenarios.leg NAME [--load N] [--load-kind KIND] …

Prints one JSON object: ``{"result": …, "gil": …}``, or ``{"error": …, "hint": …}`` with exit
status 1. With ``--watch-stdin`` the end of stdin ends it, and with it every process it started.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from typing import Any, Dict, Sequence

from giltrace.errors import GiltraceError
from giltrace.scenarios.children import tell_parent, when_stdin_ends
from giltrace.scenarios.run import run

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment,unused-ignore]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the leg; return its exit status."""
    options = vars(_parser().parse_args(arguments))
    if options.pop("watch_stdin"):
        end_with_stdin()
    return report(lambda: {"result": run(options.pop("name"), **options).to_dict()})


def report(work: Any) -> int:
    """Do ``work``, print the object it returns or what went wrong; return the exit status.

    Args:
        work: A function without arguments that returns a dictionary for `json.dumps`.
    """
    try:
        answer: Dict[str, Any] = work()
    except GiltraceError as error:
        tell_parent({"error": error.message, "hint": error.hint})
        return 1
    tell_parent({**answer, "gil": gil_enabled()})
    return 0


def gil_enabled() -> bool:
    """Return whether this interpreter has a GIL, and has it on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def end_with_stdin() -> None:
    """Have the kernel end this process when stdin, a pipe, loses its writer.

    A thread that waits for that would be one more in the very process that is measured; and where
    a busy thread lets no other one run, it would wait for ever.
    """
    try:
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        # From now on the pipe sends SIGIO, which ends a process that does not handle it.
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, OSError):
        when_stdin_ends(lambda: os._exit(1))
        return
    if select.select([0], [], [], 0)[0]:
        os._exit(1)  # it had ended before


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="giltrace.scenarios.leg", description=__doc__)
    parser.add_argument("name", help="of the server")
    parser.add_argument("--load", type=int, default=0, help="CPU threads or processes beside it")
    parser.add_argument("--load-kind", default="spin", help="what these do")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--size", type=int, default=8192, help="bytes a message")
    parser.add_argument("--sleep-ms", type=float, default=1.0, help="before each message")
    parser.add_argument("--switch-interval", type=float, help="seconds")
    parser.add_argument("--policy", help="who gets the GIL next: cpython, manual or auto")
    parser.add_argument("--pin", action="store_true", help="hold the server to one core")
    parser.add_argument("--time-limit", type=float, help="seconds")
    parser.add_argument("--unloaded", type=float, default=0.0, help="seconds to measure the load")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
