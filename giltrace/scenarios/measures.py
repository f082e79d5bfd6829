"""Three measures of what threads cost each other: throughput, latency, bandwidth.

    python -m giltrace.scenarios.measures MEASURE TASK THREADS [--seconds S] …

Threads named ``cpu-1`` and so on repeat one of `tasks.TASKS`.

- ``throughput``: how often a second they do it, all of them together.
- ``latency``: how long the main thread takes to notice a UDP datagram that another process sends
  every 0.1 s.
- ``bandwidth``: how many 1,024-byte datagrams a second the main thread sends back to a process
  that waits for each of them.

Prints one JSON object, as `giltrace.scenarios.leg` does.
"""

from __future__ import annotations

import argparse
import platform
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Sequence

from giltrace.scenarios import children
from giltrace.scenarios.client import percentile
from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.leg import end_with_stdin, report
from giltrace.scenarios.load import Progress
from giltrace.scenarios.tasks import TASKS, Step, step
from giltrace.scenarios.wire import HOST, shown

# The threads end by themselves some time after the measure: they may let nobody else run.
_GRACE_S = 30.0
_PATIENCE_S = 10.0
_BUFFER = 2048


def measure(
    name: str, task: str, threads: int, seconds: float, switch_interval: float | None = None
) -> Dict[str, Any]:
    """Take one measure.

    Args:
        name: One of `MEASURES`.
        task: One of `tasks.TASKS`.
        threads: How many threads repeat it; at least 1 for ``throughput``.
        seconds: For about how long.
        switch_interval: Seconds, set for the rest of this process; None leaves it.

    Returns:
        The arguments, the interpreter, and the figures: ``per_s``, or for ``latency`` ``p50_ms``,
        ``mean_ms``, ``max_ms`` and ``pings``.

    Raises:
        ScenarioError: An argument is wrong, or the other process failed.
    """
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        raise ScenarioError(f"there is no measure named {name!r}", f"Choose one of: {known}.")
    low = 1 if name == "throughput" else 0
    if not low <= threads <= 1000:
        raise ScenarioError(f"threads is {threads}, outside of {low} to 1000")
    work = step(task)
    if switch_interval is not None:
        sys.setswitchinterval(switch_interval)
    return {
        "measure": name,
        "task": task,
        "threads": threads,
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "switch_interval_ns": round(sys.getswitchinterval() * 1e9),
        **MEASURES[name](work, threads, seconds),
    }


def throughput(work: Step, threads: int, seconds: float) -> Dict[str, Any]:
    """Let threads work for so long; return their steps/s, all together."""
    workers = _Workers(work, threads, seconds)
    workers.join()
    # Each thread ends with a whole step, so some time after the deadline.
    rates = [p.done * 1e9 / (p.samples[-1][0] - p.samples[0][0]) for p in workers.progress]
    return {"per_s": sum(rates)}


def latency(work: Step, threads: int, seconds: float) -> Dict[str, Any]:
    """Take the time from the sending of each ping to its receipt beside threads that work."""
    delays_ns: List[int] = []

    def serve(server: socket.socket) -> None:
        while True:
            message = server.recv(_BUFFER)
            now_ns = time.monotonic_ns()
            if not message:
                return
            delays_ns.append(now_ns - int(message))

    _beside(work, threads, seconds, "ping", serve)
    delays_ns.sort()
    return {
        "pings": len(delays_ns),
        "mean_ms": sum(delays_ns) / len(delays_ns) / 1e6,
        "p50_ms": percentile(delays_ns, 50) / 1e6,
        "max_ms": delays_ns[-1] / 1e6,
    }


def bandwidth(work: Step, threads: int, seconds: float) -> Dict[str, Any]:
    """Send datagrams back beside threads that work; return round trips/s."""

    def serve(server: socket.socket) -> None:
        while True:
            message, address = server.recvfrom(_BUFFER)
            if not message:
                return
            server.sendto(message, address)

    said = _beside(work, threads, seconds, "echo", serve)
    return {"per_s": said["echoes"] / said["seconds"], "lost": said["lost"]}


MEASURES: Dict[str, Callable[[Step, int, float], Dict[str, Any]]] = {
    "throughput": throughput,
    "latency": latency,
    "bandwidth": bandwidth,
}
"""The measures by name."""


class _Workers:
    """Threads that repeat a step until the deadline, or until they are told to stop."""

    def __init__(self, work: Step, count: int, seconds: float) -> None:
        deadline_ns = time.monotonic_ns() + round(seconds * 1e9)
        self._work = work
        self.progress = [Progress(deadline_ns) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(p,), name=f"cpu-{number}", daemon=True)
            for number, p in enumerate(self.progress, 1)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        for p in self.progress:
            p.stopped = True
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _run(self, progress: Progress) -> None:
        self._work()  # warm, and at work when the first sample says so
        progress.samples[0] = (time.monotonic_ns(), 0)
        while not progress.add(1):
            self._work()


def _beside(
    work: Step, threads: int, seconds: float, peer: str, serve: Callable[[socket.socket], None]
) -> Dict[str, Any]:
    """Serve a peer process beside threads that work; return what it said in the end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        workers = _Workers(work, threads, seconds + _GRACE_S)
        try:
            child = children.python(
                "giltrace.scenarios.udp_peer", peer, shown(server.getsockname()), str(seconds)
            )
            try:
                serve(server)
                workers.stop()
                assert child.stdout is not None
                return children.parse(child.stdout.read(), "the other process")
            finally:
                children.end(child)
        finally:
            workers.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take one measure; return the exit status."""
    options = vars(_parser().parse_args(arguments))
    if options.pop("watch_stdin"):
        end_with_stdin()
    return report(lambda: {"result": measure(**options)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="giltrace.scenarios.measures", description=__doc__)
    parser.add_argument("name", help=", ".join(MEASURES))
    parser.add_argument("task", help=", ".join(TASKS))
    parser.add_argument("threads", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--switch-interval", type=float, help="seconds")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
