"""A 0MQ REP socket in C, CPU threads in C beside it: ``c-zmq``, the server without a GIL."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import giltrace
from giltrace.scenarios import children
from giltrace.scenarios import load as loads
from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.server import Server
from giltrace.scenarios.zmq_transport import import_zmq

SOURCES = ("Makefile", "echo_server.c", "load.c", "load.h", "zmq_api.h")
"""Files of ``c_server/`` that the build needs."""


class CZmqServer(Server):
    """Runs ``c_server/echo_server``, which is built for this user when it is first needed."""

    name = "c-zmq"
    transport = "zmq"
    holds_gil = False

    def __init__(self) -> None:
        import_zmq()  # the client needs it anyway, so say so before a compiler runs
        self._program = build(find_sources(), cache_directory())
        self._arguments: list[str] = []
        self._load: _ServerLoad | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start_load(self, kind: str, count: int, deadline_ns: int | None = None) -> loads.Load:
        """Leave ``spin`` and ``fib`` to the C program; the controls run as for any server."""
        if kind not in ("spin", "fib"):
            return super().start_load(kind, count, deadline_ns)
        self._arguments = ["--load", str(count), "--load-kind", kind]
        self._load = _ServerLoad()
        return self._load

    def unloaded_rate(self, kind: str, seconds: float) -> float:
        """Measure one CPU thread of the C program alone, in iterations/s."""
        if kind not in ("spin", "fib"):
            return super().unloaded_rate(kind, seconds)
        process = self._start("--load", "1", "--load-kind", kind, "--calibrate", str(seconds))
        assert process.stdout is not None
        try:
            return _rates(children.parse(process.stdout.read(), "the C server"))[0]
        finally:
            children.end(process)

    def open(self) -> str:
        """Start the program; return the endpoint it prints.

        Raises:
            ScenarioError: It ended instead.
        """
        self._process = self._start(*self._arguments)
        assert self._process.stdout is not None
        endpoint = self._process.stdout.readline().decode("ascii").strip()
        if not endpoint:
            self._fail()
        return endpoint

    def serve(self) -> None:
        """Wait until the program has served a run."""
        assert self._process is not None, "open() comes first"
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        if self._process.wait() != 0:
            self._fail()
        if self._load is not None:
            self._load.measured = _rates(children.parse(output, "the C server"))

    def close(self) -> None:
        """End the program, if it still runs."""
        if self._process is not None:
            children.end(self._process)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return children.start([str(self._program), "--watch-stdin", *arguments])

    def _fail(self) -> None:
        assert self._process is not None
        raise ScenarioError(
            f"the C server failed (exit status {self._process.wait()})",
            "What it wrote to stderr says why.",
        )


class _ServerLoad:
    """The CPU threads inside the C program, which tells their rates when it ends."""

    def __init__(self) -> None:
        self.measured: tuple[float, ...] = ()

    def stop(self) -> None:
        """Do nothing: they end with the program."""

    def rates(self, start_ns: int, end_ns: int) -> tuple[float, ...]:
        """Return iterations/s of each thread over the run, whose ends the program knows."""
        return self.measured


def _rates(account: dict[str, Any]) -> tuple[float, ...]:
    seconds = account["seconds"]
    return tuple(count / seconds if seconds else 0.0 for count in account["iterations"])


def find_sources() -> Path:
    """Return the directory of the C sources: of a checkout, or inside the installed package.

    Raises:
        ScenarioError: There is none.
    """
    package = Path(giltrace.__path__[0])
    for directory in (package.parent / "c_server", package / "c_server"):
        if all((directory / name).is_file() for name in SOURCES):
            return directory
    raise ScenarioError(
        "the sources of the C server (c_server/) are not part of this installation",
        "Run the c-zmq scenario from a checkout of giltrace.",
    )


def cache_directory() -> Path:
    """Return the directory of this user for things that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "giltrace"


def build(sources: Path, cache: Path) -> Path:
    """Return the program, built into the cache unless it is there already.

    Raises:
        ScenarioError: There is no make or compiler, or the build failed.
    """
    program = cache / f"echo_server-{_fingerprint(sources)}"
    if program.is_file():
        return program
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Built aside and moved into place: another process may be doing the same.
        with tempfile.TemporaryDirectory(dir=str(cache)) as directory:
            for name in SOURCES:
                shutil.copy(str(sources / name), directory)
            _make(directory)
            os.replace(os.path.join(directory, "echo_server"), str(program))
    except OSError as error:
        raise ScenarioError(
            f"cannot build the C server in {cache}: {error.strerror or error}",
            "Set XDG_CACHE_HOME to a directory that can be written to.",
        ) from error
    return program


def _make(directory: str) -> None:
    make = shutil.which("make")
    if make is None:
        raise ScenarioError(
            "the C server has to be built once, and there is no make",
            "Install make and a C compiler.",
        )
    done = subprocess.run(
        [make, "--silent", "-C", directory, "PYTHON=" + sys.executable],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=children.environment(),
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "backslashreplace").strip()
        raise ScenarioError(
            f"the C server cannot be built:\n{said}",
            "It needs a C compiler, and libzmq with its headers or a pyzmq wheel.",
        )


def _fingerprint(sources: Path) -> str:
    """Name what the program depends on: its sources, and the libzmq it may be linked to."""
    digest = hashlib.sha256(str(import_zmq().__file__).encode("utf-8", "surrogateescape"))
    digest.update(import_zmq().zmq_version().encode("ascii"))
    for name in SOURCES:
        digest.update((sources / name).read_bytes())
    return digest.hexdigest()[:16]
