"""Run one scenario: the server in this process, the client in a child."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

from giltrace.scenarios import children, registry
from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.load import check_kind
from giltrace.scenarios.result import ScenarioResult
from giltrace.scenarios.server import Server
from giltrace.scenarios.transports import end_run
from giltrace.scenarios.wire import MAX_MESSAGE

# The load's own limit comes after the client's, by more than a client takes to start.
_GRACE_S = 5.0
_PATIENCE_S = 5.0


def run(
    name: str,
    *,
    load: int = 0,
    load_kind: str = "spin",
    requests: int = 1000,
    size: int = 8192,
    sleep_ms: float = 1.0,
    switch_interval: float | None = None,
    policy: str | None = None,
    pin: bool = False,
    time_limit: float | None = None,
    unloaded: float = 0.0,
    latencies: str | os.PathLike[str] | None = None,
) -> ScenarioResult:
    """Serve one client's run on the calling thread, and return what the client measured.

    Args:
        name: One of `registry.names`.
        load: Number of CPU threads (or processes) beside the server.
        load_kind: One of `load.KINDS`. The C server does ``spin`` and ``fib`` in C.
        requests: Round trips.
        size: Bytes a message.
        sleep_ms: Sleep of the client before each message.
        switch_interval: Seconds, set for the run; None leaves the interpreter's.
        policy: Who gets the GIL next: ``cpython``, ``auto``, or ``manual``, which gives the CPU
            threads priority -1. None leaves what holds.
        pin: Hold the server and its load, but not the client, to one core.
        time_limit: Seconds after which the client gives up; the result then says ``timed_out``.
        unloaded: Seconds to measure one worker of the load alone before the run; 0 skips it.
        latencies: File for the round trips, one number of nanoseconds a line.

    Raises:
        ScenarioError: An argument is out of range, the server cannot run here, or it or its
            client failed. No process and no thread is left behind, nor after KeyboardInterrupt.
    """
    plan = _Plan(load, load_kind, requests, size, sleep_ms, switch_interval, time_limit, unloaded)
    plan.check()
    server = registry.get(name)()
    alone = server.unloaded_rate(load_kind, unloaded) if load and unloaded else None
    with _conditions(switch_interval, pin) as cores:
        interval_ns = round(sys.getswitchinterval() * 1e9)
        with _following(policy):
            figures, rates = _serve(server, plan, latencies, cores)
    rate = math.fsum(rates) if load else None
    workers = load if _parallel(server, load_kind) else 1
    return ScenarioResult(
        scenario=name,
        python=platform.python_version(),
        implementation=sys.implementation.name,
        load=load,
        load_kind=load_kind,
        size=size,
        sleep_ms=sleep_ms,
        switch_interval_ns=interval_ns,
        pinned=pin,
        load_rate=rate,
        unloaded_rate=alone,
        load_kept=rate / (alone * workers) if rate is not None and alone else None,
        **figures,
    )


@dataclass(frozen=True)
class _Plan:
    """The arguments of `run` that have a range."""

    load: int
    load_kind: str
    requests: int
    size: int
    sleep_ms: float
    switch_interval: float | None
    time_limit: float | None
    unloaded: float

    def check(self) -> None:
        """Raise ScenarioError for what is out of range."""
        for what, value, low, high in (
            ("load", self.load, 0, 1000),
            ("requests", self.requests, 1, 10**9),
            ("size", self.size, 1, MAX_MESSAGE),
            ("sleep_ms", self.sleep_ms, 0, 3_600_000),
            ("switch_interval", self.switch_interval, 1e-6, 1000),
            ("time_limit", self.time_limit, 1e-3, 1_000_000),
            ("unloaded", self.unloaded, 0, 3600),
        ):
            if value is not None and not low <= value <= high:
                raise ScenarioError(f"{what} is {value}, outside of {low} to {high}")
        check_kind(self.load_kind)


def _serve(
    server: Server,
    plan: _Plan,
    latencies: str | os.PathLike[str] | None,
    cores: set[int] | None,
) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Return the client's figures and the rate of each worker of the load."""
    deadline_ns = None
    if plan.time_limit is not None:
        deadline_ns = time.monotonic_ns() + round((plan.time_limit + _GRACE_S) * 1e9)
    with ExitStack() as stack:
        stack.callback(server.close)
        load = server.start_load(plan.load_kind, plan.load, deadline_ns)
        stack.callback(load.stop)
        endpoint = server.open()
        client = _Client(server.transport, endpoint, _client_arguments(plan, latencies), cores)
        stack.callback(client.stop)
        server.serve()
        # First of all: a client that is done needs a core to say so.
        load.stop()
        figures = client.result()
    return figures, load.rates(figures["start_ns"], figures["end_ns"])


def _client_arguments(plan: _Plan, latencies: str | os.PathLike[str] | None) -> list[str]:
    arguments = ["--requests", str(plan.requests), "--size", str(plan.size)]
    arguments += ["--sleep-ms", str(plan.sleep_ms), "--watch-stdin"]
    if plan.time_limit is not None:
        arguments += ["--time-limit", str(plan.time_limit)]
    if latencies is not None:
        arguments.append(f"--latencies={os.fspath(latencies)}")
    return arguments


class _Client:
    """The client process, and a thread that waits for its end without ever asking for the GIL."""

    def __init__(
        self, transport: str, endpoint: str, arguments: list[str], cores: set[int] | None
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._output = b""
        self._stopping = False
        self._child = children.python("giltrace.scenarios.client", transport, endpoint, *arguments)
        if cores is not None:
            _move(self._child, cores)
        self._thread = threading.Thread(target=self._watch, name="client-watch", daemon=True)
        self._thread.start()

    def result(self) -> dict[str, Any]:
        """Wait for the client to end; return its figures.

        Raises:
            ScenarioError: It failed.
        """
        self._thread.join()
        if self._child.returncode:
            raise ScenarioError(
                f"the client of the scenario failed ({_status(self._child.returncode)})",
                "What it wrote to stderr says why.",
            )
        return children.parse(self._output, "the client of the scenario")

    def stop(self) -> None:
        """End the client, if it still runs; harmless when called again."""
        self._stopping = True
        children.tell(self._child)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._child.kill()
            self._thread.join(_PATIENCE_S)

    def _watch(self) -> None:
        stdout = self._child.stdout
        assert stdout is not None
        with stdout:
            self._output = stdout.read()
        if (self._child.wait() or b'"timed_out": true' in self._output) and not self._stopping:
            # It cannot end the run any more, and the server would wait for ever.
            end_run(self._transport, self._endpoint)


def _status(returncode: int) -> str:
    if returncode < 0:
        return f"killed by signal {-returncode}"
    return f"exit status {returncode}"


def _parallel(server: Server, load_kind: str) -> bool:
    """Return whether several workers of this load can run at the same time."""
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    return load_kind in ("process", "native") or not server.holds_gil or not gil_enabled


@contextmanager
def _following(policy: str | None) -> Iterator[None]:
    """Have the GIL given to threads by this policy for a while.

    By hand, the CPU threads are the ones that can wait, as in the talk.
    """
    if policy in (None, "cpython"):
        yield
        return
    try:
        from giltrace.runtime import names, priorities

        before = priorities.policy()
        priorities.policy(policy)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ScenarioError(f"no policy {policy} here: {error}") from None

    def rank(native_id: int, name: str) -> None:
        if name.startswith("cpu-"):
            priorities.set_priority(-1, native_id)

    if policy == "manual":
        names.follow(rank)
    try:
        yield
    finally:
        names.unfollow(rank)
        priorities.policy(before)


@contextmanager
def _conditions(switch_interval: float | None, pin: bool) -> Iterator[set[int] | None]:
    """Set the switch interval and pin this thread for a while; yield the cores it had."""
    if pin and not hasattr(os, "sched_setaffinity"):
        raise ScenarioError(
            "this system cannot hold a process to one core",
            "Run the scenario without pinning.",
        )
    interval = sys.getswitchinterval()
    cores = os.sched_getaffinity(0) if pin else None
    try:
        if switch_interval is not None:
            sys.setswitchinterval(switch_interval)
        if cores is not None:
            os.sched_setaffinity(0, {max(cores)})  # threads and processes to come inherit this
        yield cores
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)
        sys.setswitchinterval(interval)


def _move(child: subprocess.Popen[bytes], cores: set[int]) -> None:
    try:
        os.sched_setaffinity(child.pid, cores)
    except ProcessLookupError:
        pass  # it has ended; its status will say why
