"""Running one leg: a process of its own, perhaps recorded, never for longer than it may."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import giltrace
from giltrace.experiment.environments import Environment
from giltrace.experiment.process import Ended, execute
from giltrace.model.text import printable

# What a leg may take beyond its limit: to start, to build the C server, to end, to be recorded.
_MARGIN_S: Final = 60.0
_WORDS: Final = 300

# The recorder runs on this interpreter with this giltrace, whatever PYTHONPATH is for the target.
_RECORDER: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from giltrace.cli.main import main; main()"
)


class Job(Protocol):
    """What can be run as a leg."""

    module: ClassVar[str]

    @property
    def interpreter(self) -> str:
        """Label of the interpreter to run it with."""

    @property
    def arguments(self) -> list[str]:
        """The command line of ``module``."""

    @property
    def needs_zmq(self) -> bool:
        """Whether it needs pyzmq."""

    @property
    def limit_s(self) -> float:
        """Seconds it may take."""

    @property
    def estimate_s(self) -> float:
        """Seconds it will about take."""


AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True)
class Finished(Generic[AnyJob]):
    """What became of a leg.

    Attributes:
        job: The leg.
        result: The figures its process printed; empty if there are none.
        gil: Whether its interpreter had a GIL, and had it on; None if it did not get to say.
        error: Why there are no figures; empty if there are.
        hint: What to do about that, or empty.
        capture: Name of the capture; empty without one.
        record_error: Why there is none although there should be; empty otherwise.
        notes: What its processes wrote to stderr.
        elapsed_s: Seconds it took, the start of Python and all included.
    """

    job: AnyJob
    result: dict[str, Any] = field(default_factory=dict)
    gil: bool | None = None
    error: str = ""
    hint: str = ""
    capture: str = ""
    record_error: str = ""
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0

    @property
    def timed_out(self) -> bool:
        """Whether the time limit cut it short; its figures are then lower bounds."""
        return bool(self.result.get("timed_out"))


def run(job: AnyJob, environment: Environment, capture: Path | None = None) -> Finished[AnyJob]:
    """Run a leg to its end.

    Args:
        job: The leg.
        environment: Of its interpreter.
        capture: Where to record it; what is there is replaced.

    Returns:
        Its figures, or why there are none. Nothing of it is left running, nor after
        KeyboardInterrupt.
    """
    problem = environment.problem or (environment.zmq_problem if job.needs_zmq else "")
    if problem:
        return Finished(job, error=problem)
    command = [environment.executable, "-m", job.module, *job.arguments, "--watch-stdin"]
    if capture is not None:
        command = [*_recorder(capture), *command]
    start = time.monotonic()
    try:
        ended = execute(command, environment.env, job.limit_s + _MARGIN_S, watches_stdin=True)
    except OSError as error:
        return Finished(job, error=f"cannot start {environment.executable}: {error.strerror}")
    return _conclude(job, ended, capture, time.monotonic() - start)


def _recorder(capture: Path) -> list[str]:
    parent = str(Path(giltrace.__path__[0]).parent)
    options = ["record", "--quiet", "--force", "--output", str(capture)]
    return [sys.executable, "-c", _RECORDER, parent, *options]


def _conclude(
    job: AnyJob, ended: Ended, capture: Path | None, elapsed_s: float
) -> Finished[AnyJob]:
    answer = _answer(ended.stdout)
    notes = tuple(printable(line, _WORDS) for line in ended.stderr.splitlines() if line.strip())
    error = hint = ""
    if not answer.get("result"):
        error, hint = str(answer.get("error") or ""), str(answer.get("hint") or "")
        error = error or _why(ended, notes, job.limit_s)
    written = capture is not None and capture.is_file()
    missing = ""
    if capture is not None and not error and (ended.status or not written):
        missing = notes[-1] if notes else f"the recorder ended with status {ended.status}"
        missing = next((note for note in notes if "nothing was recorded" in note), missing)
    return Finished(
        job,
        result={} if error else answer["result"],
        gil=answer.get("gil"),
        error=error,
        hint=hint,
        capture=capture.name if capture is not None and written and not missing else "",
        record_error=missing.removeprefix("giltrace: ").removeprefix("nothing was recorded: "),
        notes=notes,
        elapsed_s=elapsed_s,
    )


def _answer(stdout: bytes) -> dict[str, Any]:
    """The object in the last line; an empty one if it has none."""
    try:
        value = json.loads(stdout.strip().rpartition(b"\n")[2])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _why(ended: Ended, notes: tuple[str, ...], limit_s: float) -> str:
    if ended.late:
        return f"it did not end within its {limit_s:g} s and was ended"
    if notes:
        return notes[-1].removeprefix("giltrace: ")
    if ended.status < 0:
        return f"it was killed by signal {-ended.status}"
    return f"it ended with status {ended.status} and without a result"
