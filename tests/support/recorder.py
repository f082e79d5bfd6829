"""Running ``giltrace record`` on small programs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from giltrace.capture import Capture
from tests.support.python import environment, run_to_end


def command(output: Path, *target: str, options: tuple[str, ...] = ("-q",)) -> list[str]:
    """The command line that records ``target`` into ``output``."""
    return [sys.executable, "-m", "giltrace", "record", *options, "-o", str(output), *target]


def record(
    output: Path,
    *target: str,
    options: tuple[str, ...] = ("-q",),
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Record ``target`` to its end."""
    whole = command(output, *target, options=options)
    return run_to_end(whole, timeout=timeout, env=environment(env), cwd=output.parent)


@contextmanager
def recording(output: Path, *target: str) -> Iterator[subprocess.Popen[str]]:
    """Record ``target`` while the block runs; kills what is left at its end."""
    with subprocess.Popen(
        command(output, *target),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def script(folder: Path, code: str, name: str = "program.py") -> str:
    """Write a program; gives its path."""
    path = folder / name
    path.write_text(textwrap.dedent(code))
    return str(path)


def acquires(capture: Capture, process: int = 0) -> int:
    """How many acquires a process's events hold."""
    return int((capture.events[process].data & 15 == 1).sum())
