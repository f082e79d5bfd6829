"""From legs to rows: the repetitions of a leg are one row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from giltrace.experiment import published
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import CPYTHON, USUAL_INTERVAL_S, Leg

_MEDIANS: Final = ("seconds", "ms_per_request", "p50_ms", "p99_ms")


@dataclass(frozen=True)
class Row:
    """All repetitions of one leg.

    Attributes:
        leg: The first of them.
        legs: What became of each.
        figures: ``seconds``, ``ms_per_request``, ``p50_ms``, ``p99_ms``: the medians of the
            repetitions; ``max_ms``: the greatest; ``requests``: the fewest. Empty if none ran.
        cpu_rate_ratio: What the CPU work kept of its own unloaded speed, the median of the
            repetitions; None without load.
        alone_ms: ``ms_per_request`` of the same server without load; None if that did not run.
    """

    leg: Leg
    legs: tuple[Finished[Leg], ...]
    figures: dict[str, float]
    cpu_rate_ratio: float | None = None
    alone_ms: float | None = None

    @property
    def slowdown(self) -> float | None:
        """How many times as long a request takes as without load; a bound if `timed_out`."""
        if not self.figures or not self.alone_ms:
            return None
        return self.figures["ms_per_request"] / self.alone_ms

    @property
    def timed_out(self) -> bool:
        """Whether the time limit cut a repetition short: the times are lower bounds."""
        return any(leg.timed_out for leg in self.legs)

    @property
    def error(self) -> str:
        """Why there are no figures, or empty."""
        return "" if self.figures else next((leg.error for leg in self.legs if leg.error), "")

    @property
    def switch_interval_s(self) -> float | None:
        """The switch interval it ran with, in seconds; if it did not run, the one planned."""
        for leg in self.legs:
            if leg.result:
                return float(leg.result["switch_interval_ns"]) / 1e9
        return self.leg.switch_interval_s

    @property
    def talk_s(self) -> float | None:
        """The seconds that the talk measured for the same; None if it did not."""
        if self.switch_interval_s not in (None, USUAL_INTERVAL_S) or self.leg.policy != CPYTHON:
            return None
        return published.seconds(self.leg.scenario, self.leg.load, self.leg.load_kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON can hold it; what is not known is None."""
        leg, settings = self.leg, self.leg.settings
        talk_s = self.talk_s
        return {
            "scenario": leg.scenario,
            "interpreter": leg.interpreter,
            "load": leg.load,
            "load_kind": leg.load_kind,
            "switch_interval_s": self.switch_interval_s,
            "policy": leg.policy,
            "requests": int(self.figures.get("requests", settings.requests)),
            "size": settings.size,
            "sleep_ms": settings.sleep_ms,
            **{name: self.figures.get(name) for name in (*_MEDIANS, "max_ms")},
            "slowdown": self.slowdown,
            "cpu_rate_ratio": self.cpu_rate_ratio,
            "timed_out": self.timed_out,
            "error": self.error or None,
            "pinned": settings.pin,
            "gil": next((run.gil for run in self.legs if run.gil is not None), None),
            "repeats": sum(bool(run.result) for run in self.legs),
            "talk_ms_per_request": talk_s and talk_s * 1e3 / published.MESSAGES,
            "legs": [leg_to_dict(run) for run in self.legs],
        }


def leg_to_dict(run: Finished[Leg]) -> dict[str, Any]:
    """Return one repetition as JSON can hold it."""
    # The last two say, on CLOCK_MONOTONIC, where in the capture the client was at work.
    figures = (*_MEDIANS, "max_ms", "requests", "timed_out", "start_ns", "end_ns")
    return {
        "repeat": run.job.repeat,
        **{name: run.result.get(name) for name in figures},
        "cpu_rate_ratio": run.result.get("load_kept"),
        "elapsed_s": round(run.elapsed_s, 3),
        "error": run.error or None,
        "capture": run.capture or None,
        "record_error": run.record_error or None,
        "notes": list(run.notes),
    }


def rows(finished: Iterable[Finished[Leg]]) -> list[Row]:
    """Return a row for each group of repetitions, in the order in which they first ran."""
    groups: dict[Leg, list[Finished[Leg]]] = {}
    unloaded: dict[object, list[float]] = {}
    for run in finished:
        groups.setdefault(run.job.group, []).append(run)
        if run.result.get("unloaded_rate"):
            unloaded.setdefault(_worker(run.job), []).append(run.result["unloaded_rate"])
    figures = {leg: _figures(runs) for leg, runs in groups.items()}
    return [
        Row(
            leg,
            tuple(runs),
            figures[leg],
            _kept(runs, unloaded.get(_worker(leg), [])),
            figures.get(leg.alone, {}).get("ms_per_request"),
        )
        for leg, runs in groups.items()
    ]


def _worker(leg: Leg) -> object:
    """What legs have in common whose CPU work runs equally fast when alone."""
    in_c = leg.scenario == "c-zmq" and leg.load_kind in ("spin", "fib")
    return leg.interpreter, leg.load_kind, in_c


def _kept(runs: Sequence[Finished[Leg]], unloaded: Sequence[float]) -> float | None:
    """What the work kept of its own speed.

    Each leg measured for itself how fast the work is alone, but only for an instant. The median
    of all that measured the same is less easily disturbed.
    """
    kept = [
        run.result["load_kept"] * run.result["unloaded_rate"] / statistics.median(unloaded)
        for run in runs
        if run.result.get("load_kept") is not None and unloaded
    ]
    return statistics.median(kept) if kept else None


def _figures(runs: Sequence[Finished[Leg]]) -> dict[str, float]:
    results = [run.result for run in runs if run.result]
    if not results:
        return {}
    medians = {name: statistics.median(result[name] for result in results) for name in _MEDIANS}
    return {
        **medians,
        "max_ms": max(result["max_ms"] for result in results),
        "requests": min(result["requests"] for result in results),
    }
