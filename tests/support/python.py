"""Running a piece of Python in a process of its own: a crash there is a failure here, no more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
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


def run_to_end(
    command: list[str], *, timeout: float, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and take its output; if it takes too long, nothing that it started stays."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            output, words = process.communicate(timeout=timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, words)


def run_python(
    code: str,
    *args: str | Path,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with this interpreter; with ``check``, any exit but 0 fails the test."""
    done = run_to_end(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *map(str, args)],
        timeout=timeout,
        env=environment(env),
    )
    if check and done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def wait_for(*pids: int) -> None:
    """Return once processes that are not our children have ended, whoever comes to see to that."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                assert select.select([fd], [], [], 30)[0], f"process {pid} lives"
            finally:
                os.close(fd)
