"""Programs that live hard: run as they are and recorded, they must come to the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from giltrace.model import Trace, load
from giltrace.model.invariants import check
from tests.support.python import environment
from tests.support.recorder import record, script


def both(
    folder: Path, code: str, *args: str, options: tuple[str, ...] = ("-q",), timeout: float = 60
) -> Trace:
    """Run a program as it is, then recorded; gives what was recorded.

    The recorded one must end with the same exit code and say the same, and its capture must be
    whole and keep every invariant.
    """
    program = script(folder, code)
    output = folder / "out.giltrace"
    plain = subprocess.run(
        [sys.executable, program, *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(),
        cwd=folder,
        check=False,
    )
    done = record(output, program, *args, options=options, timeout=timeout)
    assert said(done) == said(plain), f"recorded: {said(done)}\nas it is: {said(plain)}"
    return whole(output)


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """What can be seen of a program from outside. A killed one's code is as a shell gives it."""
    code = done.returncode
    return 128 - code if code < 0 else code, done.stdout, done.stderr


def whole(output: Path) -> Trace:
    """Read a capture that must be whole and keep every invariant."""
    trace = load(output)
    assert not trace.loss.truncated and not trace.loss.bytes_skipped
    assert check(trace) == []
    return trace
