"""Child processes that are not recorded and never outlive the process that started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Callable

import giltrace
from giltrace.scenarios.errors import ScenarioError

_PATIENCE_S = 5.0
_RECORDING = ("GILTRACE_SESSION",)


def environment() -> dict[str, str]:
    """Return the environment for a child: ours, less what would record it.

    The recorder reaches Python children through variables of its own and a directory inside the
    giltrace package on PYTHONPATH. Nothing else on a path lies inside a package, so every such
    entry goes; the directory that holds the package is added, for ``-m giltrace…`` to work.
    """
    package = Path(giltrace.__path__[0]).resolve()
    env = {name: value for name, value in os.environ.items() if name not in _RECORDING}
    kept = [
        entry
        for entry in env.get("PYTHONPATH", "").split(os.pathsep)
        if entry and package not in (Path(entry).resolve(), *Path(entry).resolve().parents)
    ]
    # Last, or a directory full of other packages would come before the standard library.
    env["PYTHONPATH"] = os.pathsep.join([*kept, str(package.parent)])
    return env


def python(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start ``python -m module arguments…`` with this interpreter; see `start`.

    Raises:
        ScenarioError: It cannot be started.
    """
    if not sys.executable:
        raise ScenarioError(
            "this interpreter does not know its own path, so it cannot start a client",
            "Run the scenario with a python executable instead of an embedded interpreter.",
        )
    return start([sys.executable, "-m", module, *arguments])


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a child whose stdin and stdout are pipes held here.

    The child takes the end of its stdin as the word to stop. As the kernel closes that pipe when
    this process dies, however it dies, no child is left behind.

    Raises:
        ScenarioError: It cannot be started.
    """
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            # Ctrl-C at the terminal is for us alone; the child hears of it through its stdin.
            start_new_session=True,
        )
    except OSError as error:
        raise ScenarioError(f"cannot start {command[0]}: {error.strerror}") from error


def tell(child: subprocess.Popen[bytes]) -> None:
    """Tell a child to stop, by closing its stdin; harmless when called again."""
    assert child.stdin is not None
    child.stdin.close()


def end(child: subprocess.Popen[bytes]) -> bytes:
    """Tell a child to stop, wait until it has, and return what is left on its stdout.

    A child that does not stop is killed. Harmless when called again.
    """
    assert child.stdout is not None
    tell(child)
    killer = threading.Timer(_PATIENCE_S, child.kill)
    killer.daemon = True
    killer.start()
    try:
        output = b"" if child.stdout.closed else child.stdout.read()
        child.wait()
    finally:
        killer.cancel()
        killer.join()
        child.stdout.close()
    return output


def parse(output: bytes, whose: str) -> dict[str, Any]:
    """Return the JSON object that a child printed.

    Raises:
        ScenarioError: It printed something else.
    """
    try:
        value = json.loads(output)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ScenarioError(f"{whose} ended without a result")
    return value


def tell_parent(value: dict[str, Any]) -> None:
    """In a child: print the JSON object that `parse` reads. If nobody reads it, just end."""
    try:
        print(json.dumps(value), flush=True)
    except BrokenPipeError:
        os._exit(1)  # an ordinary exit would try to write it once more, and complain


def when_stdin_ends(action: Callable[[], object], stdin: IO[bytes] | None = None) -> None:
    """In a child: call ``action`` on a thread of its own once stdin ends."""
    stream = stdin or sys.stdin.buffer

    def watch() -> None:
        # A read that waits inside the buffer would hold its lock when the interpreter shuts down.
        while os.read(stream.fileno(), 4096):
            pass
        action()

    threading.Thread(target=watch, name="stdin-watch", daemon=True).start()
