"""What-if against reality: predictions from recordings beside what then really happens."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from giltrace import load
from giltrace.analysis.whatif.predict import Prediction, remedies

_SERVERS = ("blocking", "python-zmq")
_ROUNDS = 4
_REQUESTS = "300"
_WITHIN = 0.3

# What the client does between a reply and its next request: it sleeps for a millisecond, and the
# kernel wakes it up late. Only for recordings in which that cannot be seen.
_THINK_NS = 1_100_000

_BASELINE = "as recorded"
_BASE = ("--load", "1")
_RERUNS = {
    _BASELINE: _BASE,
    "switch interval 0.5 ms": (*_BASE, "--switch-interval", "0.0005"),
    "computing in another process": (*_BASE, "--load-kind", "process"),
    "priorities, automatic": _BASE,
    "no CPU thread": ("--load", "0"),
}
_UNDER = {"priorities, automatic": ("-m", "giltrace", "run")}
# Without the thread is what it is when that is elsewhere: the core is not what it needs.
_SAME = {"no CPU thread": "computing in another process"}


@dataclass
class _Case:
    """One remedy for one server, over all rounds; ms per request."""

    predicted: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    real: list[float] = field(default_factory=list)

    def add(self, recorded_ms: float, prediction: Prediction) -> None:
        """A prediction from one recording, given what its client measured."""
        scale = recorded_ms / prediction.recorded_ns
        self.predicted.append(scale * prediction.cycle_ns)
        self.low.append(scale * prediction.low_ns)
        self.high.append(scale * prediction.high_ns)


def run() -> Iterator[tuple[str, str, str]]:
    """Each round records each server once, and then runs it again under each remedy."""
    with tempfile.TemporaryDirectory() as folder:
        for server in _SERVERS:
            cases = {name: _Case() for name in _RERUNS}
            untold = {name: _Case() for name in _RERUNS}
            errors = []
            told = 0
            for number in range(_ROUNDS):
                output = Path(folder, f"{server}-{number}.giltrace")
                recorded_ms = _record(output, server)
                predictions = remedies(load(output))
                errors.append(predictions[0].error)
                known = predictions
                if predictions[0].notes:
                    told += 1
                    known = remedies(load(output), think_ns=_THINK_NS)
                for name, options in _RERUNS.items():
                    real_ms = _rerun(server, options, _UNDER.get(name, ()))
                    for group, some in ((cases, known), (untold, predictions)):
                        (found,) = (p for p in some if p.policy.name == _SAME.get(name, name))
                        group[name].add(recorded_ms, found)
                        group[name].real.append(real_ms)
            for name in _RERUNS:
                yield _row(f"{server}, {name}", cases[name])
                if told:
                    yield _row("  told nothing", untold[name])
            yield f"{server}: miss of the recording, largest", f"{max(errors):.1%}", "<= 5.0%"
            yield f"{server}: recordings told the client's pause", f"{told} of {_ROUNDS}", ""


def _row(name: str, case: _Case) -> tuple[str, str, str]:
    """The mean prediction; beside it the mean and the range of what happened."""
    predicted, real = statistics.fmean(case.predicted), statistics.fmean(case.real)
    miss = predicted / real - 1
    inside = statistics.fmean(case.low) <= real <= statistics.fmean(case.high)
    verdict = "ok" if abs(miss) <= _WITHIN else "in range" if inside else "MISSED"
    runs = " ".join(f"{ms:.2f}" for ms in case.real)
    guesses = " ".join(f"{ms:.2f}" for ms in case.predicted)
    return (
        name if name.startswith(" ") else f"{name}, ms per request",
        f"{predicted:.2f} ({statistics.fmean(case.low):.2f}-{statistics.fmean(case.high):.2f})",
        f"re-run {real:.2f}: {miss:+.0%} {verdict} [{guesses}] [{runs}]",
    )


def _record(output: Path, server: str) -> float:
    record = [sys.executable, "-m", "giltrace", "record", "-q", "-o", str(output)]
    return _ms_per_request([*record, "-m", *_leg(server, _BASE)])


def _rerun(server: str, options: tuple[str, ...], under: tuple[str, ...] = ()) -> float:
    return _ms_per_request([sys.executable, *under, "-m", *_leg(server, options)])


def _leg(server: str, options: tuple[str, ...]) -> list[str]:
    return ["giltrace.scenarios.leg", server, "--requests", _REQUESTS, *options]


def _ms_per_request(command: list[str]) -> float:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout)["result"]["ms_per_request"])
