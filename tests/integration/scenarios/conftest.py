"""Real servers in processes of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from giltrace.scenarios import ScenarioError, c_zmq, names
from tests.support.python import environment

SERVE = """
import os, sys
from giltrace.scenarios import registry
from giltrace.scenarios.children import when_stdin_ends
when_stdin_ends(lambda: os._exit(1))  # even if these tests are killed
server = registry.get(sys.argv[1])()
server.start_load("spin", 0)
print(server.open(), flush=True)
try:
    server.serve()
    print("ended", flush=True)
finally:
    server.close()
"""


class Serving:
    """A server that serves one run in a process of its own.

    Attributes:
        name: Of the server.
        endpoint: Where it listens.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, for a socket."""
        host, _, port = self.endpoint.removeprefix("tcp://").rpartition(":")
        return host, int(port)

    def ended(self) -> list[str]:
        """Wait until the run has ended, as it should; return the lines on stderr."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        _, err = self.process.communicate(timeout=60)
        assert (0, "ended\n") == (self.process.returncode, out), err
        return err.splitlines()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache directory of our own: the C server is built anew, once."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(path))
        yield path


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    """Each server in turn, where it can run."""
    value = str(request.param)
    skip_unless_possible(value)
    return value


@pytest.fixture
def serve() -> Iterator[Callable[[str], Serving]]:
    """Starts servers; ends what is left of them."""
    started: list[Serving] = []

    def start(name: str) -> Serving:
        skip_unless_possible(name)
        started.append(Serving(name))
        return started[-1]

    yield start
    for serving in started:
        serving.process.kill()
        serving.process.communicate()


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails the test if it leaves a thread or a child process behind."""
    threads = set(threading.enumerate())
    processes = set(psutil.Process().children(recursive=True))
    yield
    assert set() == set(threading.enumerate()) - threads
    assert set() == set(psutil.Process().children(recursive=True)) - processes


def skip_unless_possible(name: str) -> None:
    """Skip the test where a server needs what is not installed."""
    if name.endswith("zmq"):
        pytest.importorskip("zmq")
    if name == "c-zmq":
        if not (shutil.which("make") and shutil.which("cc")):
            pytest.skip("no C compiler")
        try:
            c_zmq.find_sources()
        except ScenarioError as error:
            pytest.skip(error.message)
