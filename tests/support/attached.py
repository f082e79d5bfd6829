"""Programs to attach to, and ``giltrace attach`` on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.python import environment

# Does as MAIN says until the file FLAG exists, then tells what it finds in itself. A second thread
# computes all the time and so never waits for anything outside of the process.
PROGRAM = """
import json, os, select, sys, threading, time
flag = sys.argv[1]
before = set(sys.modules), list(sys.path), dict(vars(threading.Thread))
done, (source, sink) = threading.Event(), os.pipe()

def wait_for_flag():
    while not os.path.exists(flag):
        sum(range(1000))

def compute():
    wait_for_flag()
    done.set()
    os.write(sink, b"x")

worker = threading.Thread(target=compute, name="worker")
worker.start()
print("ready", flush=True)
MAIN
worker.join()
found = {
    "modules": sorted(name for name in set(sys.modules) - before[0] if "giltrace" in name),
    "path": sys.path == before[1],
    "names": dict(vars(threading.Thread)) == before[2],
    "main": sorted(name for name in vars(sys.modules["__main__"]) if "giltrace" in name),
    "sitting": [line for line in open("/proc/self/maps")
                if ".arena" in line or "r-xp 00000000 00:00 0 \\n" in line],
}
sys.path[:0] = sys.argv[2:]
try:
    from giltrace import _core
    found["state"] = _core.state()
except ImportError:
    found["state"] = {}
print(json.dumps(found))
"""

MAINS = {
    "computes": "wait_for_flag()",
    "waits for a lock": "done.wait()",
    "joins a thread": "worker.join()",
    "selects": "select.select([source], [], [])",
    "polls": "p = select.epoll(); p.register(source); p.poll()",
    "reads": "os.read(source, 1)",
    "sleeps": "while not done.is_set(): time.sleep(0.2)",
}
UNTOUCHED = {
    "modules": [],
    "path": True,
    "names": True,
    "main": [],
    "sitting": [],
    "state": [],
}


def in_place(state: dict[str, Any]) -> list[str]:
    """What of giltrace is at work in a process, by its own account; a known GIL is no hook."""
    return sorted(name for name, value in state.items() if value and name != "gils")


class Target:
    """A running program.

    Attributes:
        process: it.
        pid: its process id.
    """

    def __init__(self, process: subprocess.Popen[str], flag: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._flag = flag

    def end(self) -> dict[str, Any]:
        """Let it end; gives what it found in itself."""
        self._flag.touch()
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        assert err == ""
        found: dict[str, Any] = json.loads(out)
        found["state"] = in_place(found["state"])
        return found


@contextmanager
def running(
    folder: Path, main: str, *options: str, python: str = sys.executable
) -> Iterator[Target]:
    """A program that does ``main`` while the block runs.

    At its end the program is killed if it still runs, and what it has forked.
    """
    program = folder / "target.py"
    program.write_text(PROGRAM.replace("MAIN", textwrap.dedent(main)))
    flag = folder / "flag"
    tree = environment()["PYTHONPATH"].split(":")
    with subprocess.Popen(
        [python, *options, str(program), str(flag), *tree],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Target(process, flag)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def command(pid: int, *options: str) -> list[str]:
    """The command line that attaches to a process."""
    return [sys.executable, "-m", "giltrace", "attach", *options, str(pid)]


def attach(pid: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Attach to a process, until that ends by itself."""
    return subprocess.run(
        command(pid, *options),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )


@contextmanager
def attached(pid: int, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Record a process while the block runs, from its first event on; Ctrl-C at the end."""
    with subprocess.Popen(
        command(pid, "-q", "-o", str(output), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as recorder:
        try:
            # The recorder has met the process once it has written that down.
            while recorder.poll() is None and not _has_process(output):
                pass
            yield recorder
            recorder.send_signal(signal.SIGINT)
            recorder.wait(60)
        finally:
            recorder.kill()


def _has_process(output: Path) -> bool:
    from giltrace.capture import read
    from giltrace.errors import GiltraceError

    try:
        return bool(read(output).events)
    except GiltraceError:
        return False
