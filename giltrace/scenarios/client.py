"""The client of the experiment, a process of its own.

    python -m giltrace.scenarios.client TRANSPORT ENDPOINT --requests N --size BYTES --sleep-ms MS

Sends N messages, sleeps before each, takes the time of each round trip, checks every echo, ends
the run with an empty message, and prints one JSON object. Exit status 1 if the run failed. A run
that its time limit cut short has a result too, which says so; the server then still waits.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from functools import partial
from typing import Any, Callable, Sequence

from giltrace.errors import GiltraceError
from giltrace.scenarios.children import tell_parent, when_stdin_ends
from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.transports import ERRORS, TRANSPORTS, Channel

_STOP_S = 0.2


class _TimeLimit(Exception):
    """The time limit of the run has come."""


class Exchange:
    """The round trips of one run.

    Attributes:
        latencies_ns: Of each round trip, the one under way when the run was cut short included.
        start_ns: CLOCK_MONOTONIC before the first sleep.
        end_ns: CLOCK_MONOTONIC after the last reply.
        timed_out: Whether the time limit ended the run.
    """

    def __init__(self) -> None:
        self.latencies_ns: list[int] = []
        self.start_ns = 0
        self.end_ns = 0
        self.timed_out = False
        self._running = True
        self._sent_ns = 0

    def run(self, connect: Callable[[], Channel], requests: int, size: int, sleep_s: float) -> None:
        """Connect, make the round trips, and end the run.

        Raises:
            ScenarioError: An echo was not what was sent.
        """
        channel = None
        self.start_ns = time.monotonic_ns()
        try:
            channel = connect()
            self._round_trips(channel, requests, size, sleep_s)
            self._running = False
            channel.send(b"")
        except _TimeLimit:
            self.timed_out = True
            self.end_ns = time.monotonic_ns()
            if self._sent_ns:
                self.latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
        finally:
            if channel is not None:
                channel.close()

    def limit(self, seconds: float) -> None:
        """Cut the run short after so long; main thread only."""

        def cut_short(_signal: int, _frame: object) -> None:
            if self._running:
                raise _TimeLimit

        # A signal ends any wait of any transport, without a timeout on each of its calls.
        signal.signal(signal.SIGALRM, cut_short)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _round_trips(self, channel: Channel, requests: int, size: int, sleep_s: float) -> None:
        pattern = bytes(range(251)) * (size // 251 + 1)
        self.start_ns = time.monotonic_ns()
        for number in range(requests):
            # Each message differs from the one before, so that a late echo is a wrong one.
            payload = (number.to_bytes(8, "big") + pattern)[:size]
            if sleep_s:
                time.sleep(sleep_s)
            self._sent_ns = time.perf_counter_ns()
            channel.send(payload)
            reply = channel.receive()
            self.latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
            self._sent_ns = 0
            if reply != payload:
                raise ScenarioError(_wrong_echo(number, payload, reply))
        self.end_ns = time.monotonic_ns()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of the run, as `ScenarioResult` names them."""
        ordered = sorted(self.latencies_ns)
        seconds = (self.end_ns - self.start_ns) / 1e9
        return {
            "requests": len(ordered),
            "seconds": seconds,
            "ms_per_request": seconds * 1e3 / max(len(ordered), 1),
            "p50_ms": percentile(ordered, 50) / 1e6,
            "p99_ms": percentile(ordered, 99) / 1e6,
            "max_ms": percentile(ordered, 100) / 1e6,
            "timed_out": self.timed_out,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
        }


def percentile(ordered: Sequence[int], percent: int) -> int:
    """Return the nearest-rank percentile of values in ascending order; 0 if there are none."""
    if not ordered:
        return 0
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.watch_stdin:
        when_stdin_ends(lambda: os._exit(1))
    try:
        exchange = _exchange(options)
        if options.latencies:
            _write_latencies(options.latencies, exchange.latencies_ns)
    except GiltraceError as error:
        return _fail(error.message, error.hint)
    except ERRORS as error:
        if options.watch_stdin:
            time.sleep(_STOP_S)  # told to stop, we are gone by then, and rightly without a word
        return _fail(f"the server is gone: {str(error) or type(error).__name__}")
    tell_parent(exchange.to_dict())
    return 0


def _exchange(options: argparse.Namespace) -> Exchange:
    exchange = Exchange()
    if options.time_limit:
        exchange.limit(options.time_limit)
    connect = partial(TRANSPORTS[options.transport], options.endpoint)
    exchange.run(connect, options.requests, options.size, options.sleep_ms / 1e3)
    return exchange


def _wrong_echo(number: int, payload: bytes, reply: bytes) -> str:
    what = f"{len(reply)} bytes" if len(reply) != len(payload) else "other bytes"
    return f"message {number + 1} of {len(payload)} bytes came back as {what}"


def _write_latencies(path: str, latencies_ns: Sequence[int]) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{latency}\n" for latency in latencies_ns)
    except OSError as error:
        raise ScenarioError(f"cannot write {path}: {error.strerror}") from error


def _fail(message: str, hint: str = "") -> int:
    lines = ["giltrace: client: " + message] + ([hint] if hint else [])
    sys.stderr.write("\n".join(lines) + "\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="giltrace.scenarios.client", description=__doc__)
    parser.add_argument("transport", choices=sorted(TRANSPORTS))
    parser.add_argument("endpoint", help="what the server printed")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--size", type=int, default=8192, help="bytes a message")
    parser.add_argument("--sleep-ms", type=float, default=1.0, help="before each message")
    parser.add_argument("--time-limit", type=float, help="seconds")
    parser.add_argument("--latencies", help="file for the round trips: one number of ns a line")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when stdin ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
