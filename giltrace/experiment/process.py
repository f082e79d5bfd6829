"""Running a program that must not outlive us, nor run longer than it may."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_PATIENCE_S: Final = 5.0


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        status: Its exit status; -N after signal N.
        stdout: What it wrote.
        stderr: The same.
        late: It was ended because its time was up.
    """

    status: int
    stdout: bytes
    stderr: str
    late: bool = False


def execute(
    command: Sequence[str], env: Mapping[str, str], limit_s: float, *, watches_stdin: bool = False
) -> Ended:
    """Run a program to its end, or until its time is up.

    It has a session of its own, so that Ctrl-C at the terminal reaches only us. If we are
    interrupted, it is ended before the exception goes on; if we are killed, it loses its stdin.

    Args:
        command: The program by its path, and its arguments.
        env: Its environment.
        limit_s: Seconds it may take.
        watches_stdin: It ends, in good order, when its stdin does. Others are killed.

    Raises:
        OSError: It cannot be started.
    """
    leash_end, leash = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=leash_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=os.sep,  # `python -m` would find modules in ours
            start_new_session=True,
        )
    except BaseException:
        os.close(leash)
        raise
    finally:
        os.close(leash_end)
    late = False
    try:
        try:
            output, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            late = True
            os.close(leash)
            leash = -1
            output, errors = _end(process, patience_s=_PATIENCE_S if watches_stdin else 0)
    except BaseException:
        if leash >= 0:
            os.close(leash)
            leash = -1
        _end(process, patience_s=_PATIENCE_S if watches_stdin else 0)
        raise
    finally:
        if leash >= 0:
            os.close(leash)
    return Ended(process.returncode, output, errors.decode("utf-8", "backslashreplace"), late)


def _end(process: subprocess.Popen[bytes], *, patience_s: float) -> tuple[bytes, bytes]:
    """Wait until a program and all that write to its stderr have ended; kill what has not."""
    try:
        return process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Its children, too. What left the session (the client of a server) watches its own stdin,
        # which ends with the process that held the other side.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:  # someone else holds its stderr
        return error.stdout or b"", error.stderr or b""
