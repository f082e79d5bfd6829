"""Recording programs through the portable back end, without the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from giltrace.capture import Capture, CaptureWriter, read
from giltrace.capture.records import SessionInfo
from giltrace.model import Trace, build
from giltrace.record.collector import Collector
from giltrace.record.session import Refusal, Session, without_session
from giltrace.record.settings import Settings

PYPY = shutil.which("pypy3")

interpreters = pytest.mark.parametrize(
    "python",
    [
        pytest.param(sys.executable, id="cpython"),
        pytest.param(
            PYPY, id="pypy", marks=pytest.mark.skipif(PYPY is None, reason="there is no pypy3")
        ),
    ],
)

# Two threads in turn, over a socket.
PING_PONG = """
import socket, threading
ROUNDS = 300
a, b = socket.socketpair()
def echo():
    for _ in range(ROUNDS):
        b.send(b.recv(1))
thread = threading.Thread(target=echo, name="echo")
thread.start()
for _ in range(ROUNDS):
    a.send(b"x")
    a.recv(1)
thread.join()
"""


@dataclass
class Recorded:
    """A recording and how it went.

    Attributes:
        code: the exit status of the program; negative: the signal.
        out, err: what it wrote.
        left: files in the session's folder at the end, but for the options.
    """

    code: int
    out: str
    err: str
    capture: Capture
    refusals: list[Refusal]
    left: list[str]

    @property
    def trace(self) -> Trace:
        """The model of it, made anew."""
        return build(self.capture)


def record(
    folder: Path,
    *command: str,
    settings: Settings | None = None,
    env: dict[str, str] | None = None,
) -> Recorded:
    """Run a command to its end, recorded through the portable back end unless told otherwise.

    Its Python does not find giltrace by itself, unless it is installed there.
    """
    output = folder / "out.giltrace"
    with Session(settings or Settings(backend="portable")) as session, output.open("wb") as file:
        writer = CaptureWriter(file, SessionInfo("0", list(command), 0, 0))
        collector = Collector(session, writer)
        base = {**without_session(os.environ), **(env or {})}
        with (
            (folder / "out").open("w+") as out,
            (folder / "err").open("w+") as err,
            subprocess.Popen(
                command, stdout=out, stderr=err, env=session.environment(base), cwd=folder
            ) as process,
        ):
            try:
                _follow(collector, process)
            except BaseException:  # out of time, for one: nothing is to wait for it any more
                process.kill()
                raise
        left = sorted({path.name for path in session.path.iterdir()} - {"options"})
    return Recorded(
        process.returncode,
        (folder / "out").read_text(),
        (folder / "err").read_text(),
        read(output),
        collector.refusals,
        left,
    )


def _follow(collector: Collector, process: subprocess.Popen[bytes]) -> None:
    """Take what there is until the process has ended."""
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(collector.poll())
    collector.poll()  # before the kernel forgets about it
    collector.finish(process.wait(), None, "")


def held_ns(trace: Trace, name: str) -> int:
    """For how long the thread of that name held the GIL."""
    (thread,) = [thread.index for thread in trace.threads if thread.name == name]
    return int(trace.holds.ns[trace.holds.thread == thread].sum())
