"""What ``giltrace bench`` does: checks, runs, shows and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from giltrace.cli import diagnostics, output
from giltrace.cli.diagnostics import ExitCode
from giltrace.cli.files import STDOUT, open_output
from giltrace.errors import GiltraceError

if TYPE_CHECKING:
    from giltrace.experiment.bench import Outcome
    from giltrace.experiment.environments import Environment
    from giltrace.experiment.legs import Finished

_REPEATS: Final = 3
_MOST_THREADS: Final = 4


@dataclass(frozen=True)
class Request:
    """The command line of ``giltrace bench``."""

    names: Sequence[str]
    requests: int | None
    size: int
    sleep_ms: float
    loads: Sequence[int]
    load_kinds: Sequence[str]
    repeat: int | None
    switch_intervals: Sequence[str]
    policies: Sequence[str]
    pin: bool
    pythons: Sequence[str]
    time_limit: float | None
    record_dir: Path | None
    json_path: Path | None
    plot: Path | None
    force: bool
    full: bool
    ccbench: bool

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The servers to run."""
        from giltrace.experiment.plan import TALK
        from giltrace.scenarios.registry import names

        return names() if "all" in self.names else tuple(self.names) or TALK

    @property
    def repeats(self) -> int:
        """How often."""
        return self.repeat or (1 if self.full or self.ccbench else _REPEATS)

    def check(self) -> None:
        """Raise GiltraceError now for what would only come out after minutes."""
        from giltrace.experiment import drawing, intervals
        from giltrace.scenarios import load, registry

        for name in self.scenarios:
            registry.get(name)
        for kind in self.load_kinds:
            load.check_kind(kind)
        intervals.parse(self.switch_intervals)
        for path in filter(None, (self.json_path, self.plot)):
            _check_output(path, force=self.force)
        if self.plot is not None:
            if self.plot.suffix.lower() not in (".svg", ".png"):
                raise GiltraceError(
                    f"'{self.plot}' is neither .svg nor .png", "Give the plot one of these names."
                )
            if self.plot.suffix.lower() == ".png":
                drawing.check_png()

    def jobs(self, labels: Sequence[str]) -> list[Any]:
        """The legs on the interpreters with these labels, in order."""
        from giltrace.experiment import ccbench, intervals, machine, plan

        spans = intervals.parse(self.switch_intervals) or (None,)
        if self.ccbench:
            threads = self.loads or range(min(machine.usable_cores(), _MOST_THREADS) + 1)
            return ccbench.measures(
                labels,
                list(threads),
                switch_intervals=spans,
                repeats=self.repeats,
                full=self.full,
            )
        base = plan.FULL if self.full else plan.Settings()
        settings = replace(
            base,
            requests=self.requests or base.requests,
            size=self.size,
            sleep_ms=self.sleep_ms,
            pin=self.pin,
            time_limit_s=self.time_limit,
        )
        return plan.legs(
            self.scenarios,
            labels,
            settings,
            loads=self.loads or (0, 1),
            load_kinds=self.load_kinds,
            switch_intervals=spans,
            policies=self.policies or (plan.CPYTHON,),
            repeats=self.repeats,
        )


class Bench:
    """One run of the command."""

    def __init__(self, request: Request) -> None:
        from giltrace.experiment import document

        self._request = request
        self._head = document.start()

    def run(self) -> ExitCode:
        """Run all, show and write what there is; returns the exit code."""
        from giltrace.cli.bench_progress import Progress
        from giltrace.experiment import bench

        environments = self._environments()
        jobs = self._request.jobs(list(environments))
        captures = self._captures(jobs)
        with Progress(len(jobs), self._save) as progress:
            outcome: Outcome[Any] = bench.run(
                jobs, environments, progress, captures=captures, group=lambda job: job.group
            )
        return self._conclude(outcome)

    def _environments(self) -> dict[str, Environment]:
        """By label; two interpreters that call themselves the same get a number."""
        from giltrace.cli.bench_progress import Progress
        from giltrace.experiment import environments

        zmq = not self._request.ccbench and any(
            name.endswith("-zmq") for name in self._request.scenarios
        )
        found: dict[str, Environment] = {}
        with Progress(0, lambda _finished: None) as progress:
            for given in self._request.pythons:
                environment = environments.prepare(given, zmq=zmq, say=progress.say)
                label, number = environment.label, 1
                while label in found and found[label].executable != environment.executable:
                    number += 1
                    label = f"{environment.label} ({number})"
                found[label] = environment
        if not self._request.pythons:
            own = environments.own()
            found[own.label] = own
        for environment in found.values():
            if environment.problem:
                diagnostics.error(environment.problem)
            elif environment.zmq_problem:
                diagnostics.warn(f"{environment.label}: {environment.zmq_problem}")
        return found

    def _captures(self, jobs: Sequence[Any]) -> dict[Any, Path] | None:
        """Where to record each leg; None if nothing is recorded."""
        from giltrace.experiment.plan import capture_names

        folder = self._request.record_dir
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        captures = {
            job: folder.resolve() / name
            for job, name in zip(jobs, capture_names(jobs), strict=True)
        }
        present = [path for path in captures.values() if path.exists()]
        if present and not self._request.force:
            raise GiltraceError(
                f"'{folder}' holds {present[0].name} already",
                "Use --force to replace the captures of an earlier run, or another directory.",
            )
        return captures

    def _document(self, finished: Sequence[Finished[Any]], *, interrupted: bool) -> dict[str, Any]:
        from giltrace.experiment import ccbench, document, rows

        if self._request.ccbench:
            found = [row.to_dict() for row in ccbench.rows(finished)]
            return document.make(self._head, interrupted=interrupted, ccbench=found)
        return document.make(
            self._head,
            interrupted=interrupted,
            rows=[row.to_dict() for row in rows.rows(finished)],
        )

    def _save(self, finished: Sequence[Finished[Any]]) -> None:
        """Write the JSON so far, so that not even a power cut loses hours of it."""
        path = self._request.json_path
        if path is not None and _is_plain(path):
            self._write_json(path, self._document(finished, interrupted=True))

    def _write_json(self, path: Path, value: dict[str, Any]) -> None:
        from giltrace.experiment import document

        # What was there has been asked about in the beginning; what is there now is ours.
        with open_output(path, force=True, text=True) as file:
            file.write(document.render(value))

    def _conclude(self, outcome: Outcome[Any]) -> ExitCode:
        value = self._document(outcome.finished, interrupted=outcome.interrupted)
        if outcome.finished and self._request.json_path != STDOUT:
            output.write(self._table(outcome.finished))
        if self._request.json_path is not None:
            self._write_json(self._request.json_path, value)
        code = self._complain(outcome.finished)
        if self._request.plot is not None and any(row["seconds"] for row in value["rows"]):
            self._draw(self._request.plot, value)
        if outcome.interrupted:
            diagnostics.error("interrupted")
            return ExitCode.INTERRUPTED
        return code

    def _table(self, finished: Sequence[Finished[Any]]) -> str:
        from giltrace.cli import bench_table
        from giltrace.experiment import ccbench, rows

        if self._request.ccbench:
            return bench_table.render_measures(ccbench.rows(finished), self._head)
        return bench_table.render(rows.rows(finished), self._head)

    def _complain(self, finished: Sequence[Finished[Any]]) -> ExitCode:
        """Say what could not be recorded; that a leg did not run stands in the table."""
        missing = Counter(
            (run.job.interpreter, run.record_error) for run in finished if run.record_error
        )
        for (label, why), runs in missing.items():
            what = "1 run" if runs == 1 else f"{runs} runs"
            diagnostics.error(f"{what} with {label} could not be recorded: {why}")
        for hint in dict.fromkeys(run.hint for run in finished if run.hint):
            diagnostics.say(f"hint: {hint}")
        failed = missing or any(run.error for run in finished)
        return ExitCode.ERROR if failed else ExitCode.OK

    def _draw(self, path: Path, value: dict[str, Any]) -> None:
        from giltrace.experiment import drawing, plot

        picture = plot.draw(value)
        with open_output(path, force=True) as file:
            if path.suffix.lower() == ".png":
                drawing.write_png(picture, file)
            else:
                file.write(drawing.svg(picture))


class _OnlyTrying(Exception):
    """Leaves `open_output` without writing anything."""


def _check_output(path: Path, *, force: bool) -> None:
    """Raise GiltraceError if a file could not be written in the end."""
    if not _is_plain(path):
        return
    if path.is_file() and not force:
        raise GiltraceError(
            f"'{path}' exists already", "Use --force to replace it, or choose another name."
        )
    try:
        with open_output(path, force=force, text=True):
            raise _OnlyTrying
    except _OnlyTrying:
        pass


def _is_plain(path: Path) -> bool:
    """Whether it is, or will be, a file: neither stdout nor a device nor a pipe."""
    return path != STDOUT and (path.is_file() or path.is_dir() or not path.exists())
