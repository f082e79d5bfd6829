"""Running a piece of Python in a process of its own: a crash there is a failure here, no more."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

TREE = Path(__file__).parent.parent.parent


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which ``giltrace`` and ``tests`` can be imported."""
    paths = [str(TREE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **(extra or {})}


def run_python(
    code: str,
    *args: str | Path,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with this interpreter; with ``check``, any exit but 0 fails the test."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(env),
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def wait_for(pid: int) -> None:
    """Return once a process that is not our child has ended."""
    with contextlib.suppress(ProcessLookupError):
        assert select.select([os.pidfd_open(pid)], [], [], 30)[0]
