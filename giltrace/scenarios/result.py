"""What one run of a scenario gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ScenarioResult:
    """One server under one load.

    Attributes:
        scenario: Name of the server.
        python: Version of the interpreter that served (or, for the C server, started it).
        implementation: Its implementation, such as ``cpython``.
        load: Number of CPU threads or processes beside the server.
        load_kind: What they did: ``spin``, ``fib``, ``process`` or ``native``.
        requests: Round trips measured; with ``timed_out``, the last is the one that was cut short.
        size: Bytes a message.
        sleep_ms: Sleep of the client before each message.
        switch_interval_ns: The interpreter's switch interval during the run.
        pinned: Whether the server was held to one core.
        seconds: Length of the run from the first sleep to the last reply.
        ms_per_request: ``seconds`` over ``requests``, sleep included.
        p50_ms: Median round trip, sleep not included; the same for the next two.
        p99_ms: 99th percentile (nearest rank).
        max_ms: The longest.
        timed_out: The time limit ended the run; every time above is then a lower bound.
        load_rate: Iterations/s of all workers together during the run; None without load.
        unloaded_rate: Iterations/s of one worker alone; None when it was not measured.
        load_kept: What the CPU work kept of its own speed, from 0 to about 1: ``load_rate`` over
            what one worker alone does, times the number of workers where they need not take
            turns (``process``, ``native`` and all threads of the C server).
        start_ns: CLOCK_MONOTONIC at the start of ``seconds``.
        end_ns: CLOCK_MONOTONIC at its end.
    """

    scenario: str
    python: str
    implementation: str
    load: int
    load_kind: str
    requests: int
    size: int
    sleep_ms: float
    switch_interval_ns: int
    pinned: bool
    seconds: float
    ms_per_request: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    timed_out: bool
    load_rate: float | None
    unloaded_rate: float | None
    load_kept: float | None
    start_ns: int
    end_ns: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary that `json.dumps` takes."""
        return asdict(self)
