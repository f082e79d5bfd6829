"""Which legs to run, in which order, and how long each may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol

from giltrace.experiment import intervals

TALK: Final = ("c-zmq", "python-zmq", "multiprocessing", "blocking", "nonblocking")
"""The servers of the talk, in its order."""

NO_LOAD: Final = "none"
"""The kind of load of a leg without any."""

CPYTHON: Final = "cpython"
"""The policy of who gets the GIL next that is the interpreter's own."""

USUAL_INTERVAL_S: Final = 0.005
"""The switch interval of CPython and PyPy unless someone sets it."""

_START_S = 0.8
_GRACE_S = 30.0
_SLOWEST_MS = 50.0
_USUAL_MS = {NO_LOAD: 0.2, "process": 0.4, "native": 0.4}
_CONVOY_MS = 9.0


@dataclass(frozen=True)
class Settings:
    """What all legs have in common.

    Attributes:
        requests: Round trips.
        size: Bytes a message.
        sleep_ms: Sleep of the client before each message.
        pin: Hold the server to one core.
        time_limit_s: Seconds after which a client gives up; None: see `limit_s`.
        unloaded_s: Seconds to measure what the load does alone.
    """

    requests: int = 300
    size: int = 8192
    sleep_ms: float = 1.0
    pin: bool = False
    time_limit_s: float | None = None
    unloaded_s: float = 0.6


FULL: Final = Settings(requests=10_000, unloaded_s=1.0)
"""The talk's own numbers."""


@dataclass(frozen=True)
class Leg:
    """One run of one server.

    Attributes:
        scenario: Name of the server.
        interpreter: Label of the interpreter.
        load: CPU threads or processes beside it.
        load_kind: What they do; `NO_LOAD` without any.
        switch_interval_s: None leaves the interpreter's own.
        repeat: Which repetition this is, from 1.
        settings: What it has in common with the others.
        policy: Who gets the GIL next: `CPYTHON`, ``manual`` (CPU threads have priority -1) or
            ``auto``.
    """

    scenario: str
    interpreter: str
    load: int = 0
    load_kind: str = NO_LOAD
    switch_interval_s: float | None = None
    repeat: int = 1
    settings: Settings = field(default_factory=Settings)
    policy: str = CPYTHON

    module: ClassVar[str] = "giltrace.scenarios.leg"

    @property
    def group(self) -> Leg:
        """What the repetitions of a leg have in common."""
        return replace(self, repeat=1)

    @property
    def alone(self) -> Leg:
        """The group of the same server without load, which it is compared with."""
        return replace(self, repeat=1, load=0, load_kind=NO_LOAD)

    @property
    def needs_zmq(self) -> bool:
        """Whether the interpreter needs pyzmq for it."""
        return self.scenario.endswith("-zmq")

    @property
    def limit_s(self) -> float:
        """Seconds after which its client gives up.

        Unless set, it is enough for requests several times as slow as the slowest in a convoy.
        """
        if self.settings.time_limit_s is not None:
            return self.settings.time_limit_s
        worst_ms = self.settings.sleep_ms + _SLOWEST_MS * max(1, self.load) * self._stretch
        return _GRACE_S + self.settings.requests * worst_ms / 1e3

    @property
    def estimate_s(self) -> float:
        """Seconds it will about take, for the first guess at the time left."""
        usual_ms = _USUAL_MS.get(self.load_kind, _CONVOY_MS * max(1, self.load) * self._stretch)
        if self.scenario == "c-zmq":
            usual_ms = _USUAL_MS[NO_LOAD]
        seconds = self.settings.requests * (self.settings.sleep_ms + usual_ms) / 1e3
        return (
            _START_S + (self.settings.unloaded_s if self.load else 0) + min(seconds, self.limit_s)
        )

    @property
    def arguments(self) -> list[str]:
        """The command line of `module` for it."""
        settings = self.settings
        words = [self.scenario, "--requests", str(settings.requests)]
        words += ["--size", str(settings.size), "--sleep-ms", f"{settings.sleep_ms:g}"]
        if self.load:
            words += ["--load", str(self.load), "--load-kind", self.load_kind]
            words += ["--unloaded", f"{settings.unloaded_s:g}"]
        if self.switch_interval_s is not None:
            words += ["--switch-interval", repr(self.switch_interval_s)]
        if self.policy != CPYTHON:
            words += ["--policy", self.policy]
        if settings.pin:
            words.append("--pin")
        return [*words, "--time-limit", f"{self.limit_s:g}"]

    @property
    def words(self) -> list[str]:
        """What a capture of it is named after."""
        return [self.scenario, f"{self.load}-{self.load_kind}" if self.load else "alone"]

    @property
    def load_label(self) -> str:
        """The load for people: ``alone`` or ``1 spin``."""
        return f"{self.load} {self.load_kind}" if self.load else "alone"

    @property
    def _stretch(self) -> float:
        return max(1.0, (self.switch_interval_s or USUAL_INTERVAL_S) / USUAL_INTERVAL_S)


def legs(
    scenarios: Iterable[str],
    interpreters: Iterable[str],
    settings: Settings,
    *,
    loads: Iterable[int] = (0, 1),
    load_kinds: Iterable[str] = ("spin",),
    switch_intervals: Sequence[float | None] = (None,),
    policies: Sequence[str] = (CPYTHON,),
    repeats: int = 1,
) -> list[Leg]:
    """Return all legs in the order to run them.

    The repetitions are outermost: whatever changes on the machine in the course of the bench then
    falls on all legs alike, and a server is compared with itself of a moment ago. What is given
    twice runs once; a load of 0 is the same for all kinds. Of several switch intervals only the
    first is tried with policies other than CPython's: they are the alternative to these. A server
    in C knows none.
    """
    kinds = list(dict.fromkeys(load_kinds))
    pairs = [(load, kind) for load in loads for kind in (kinds if load else [NO_LOAD])]
    names, labels = list(dict.fromkeys(scenarios)), list(dict.fromkeys(interpreters))
    rules = [
        (policy, interval)
        for policy in dict.fromkeys(policies)
        for interval in (switch_intervals if policy == CPYTHON else switch_intervals[:1])
    ]
    return [
        Leg(name, label, load, kind, interval, repeat, settings, policy)
        for repeat in range(1, repeats + 1)
        for policy, interval in rules
        for label in labels
        for name in names
        if policy == CPYTHON or name != "c-zmq"
        for load, kind in dict.fromkeys(pairs)
    ]


class Named(Protocol):
    """What a capture can be named after."""

    @property
    def interpreter(self) -> str:
        """Label of the interpreter."""

    @property
    def switch_interval_s(self) -> float | None:
        """Seconds; None is the interpreter's own."""

    @property
    def policy(self) -> str:
        """Who gets the GIL next."""

    @property
    def repeat(self) -> int:
        """Which repetition."""

    @property
    def words(self) -> list[str]:
        """What it is."""


def capture_names(jobs: Sequence[Named]) -> list[str]:
    """Return a file name for each job that says what it is, as briefly as sets it apart.

    What runs and its load are always in it: ``blocking-alone.giltrace``. The interpreter, the
    switch interval, the policy and the number of the repetition are if there are several.
    """
    several = {
        name: len({getattr(job, name) for job in jobs}) > 1
        for name in ("interpreter", "switch_interval_s", "policy", "repeat")
    }
    return ["-".join(_words(job, several)).lower() + ".giltrace" for job in jobs]


def _words(job: Named, several: Mapping[str, bool]) -> list[str]:
    words = list(job.words)
    if several["interpreter"]:
        label = "".join(c if c.isalnum() or c in "._" else "-" for c in job.interpreter)
        words.append(label.strip("-"))
    if several["switch_interval_s"]:
        words.append(intervals.label(job.switch_interval_s or USUAL_INTERVAL_S))
    if several["policy"]:
        words.append(job.policy)
    if several["repeat"]:
        words.append(str(job.repeat))
    return words
