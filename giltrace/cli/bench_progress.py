"""How ``giltrace bench`` gets on: one line on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from giltrace.cli import output
from giltrace.experiment.legs import Finished

_ALL: Final = 1000


class Progress:
    """The watcher of a bench; a context manager. Silent unless stderr is a terminal."""

    def __init__(self, total: int, save: Callable[[Sequence[Finished[Any]]], object]) -> None:
        """Prepare.

        Args:
            total: How many legs there are.
            save: Called with the finished legs whenever there is one more.
        """
        self._total = total
        self._save = save
        self._done = 0
        self._started = time.monotonic()
        self._ends_at = self._started
        self._bar: Any = _bar(lambda: self._ends_at - time.monotonic()) if _wanted() else None
        self._task = self._bar.add_task("", total=_ALL) if self._bar else None

    def say(self, text: str) -> None:
        """Show what is being done."""
        if self._bar:
            self._bar.update(self._task, description=text)

    def starts(self, job: Any, left_s: float) -> None:
        """Show which leg runs, and how far we are."""
        now = time.monotonic()
        self._ends_at = now + left_s
        elapsed = now - self._started
        if self._bar:
            text = f"{self._done + 1}/{self._total} {' '.join(job.words)}, {job.interpreter}"
            completed = _ALL * elapsed / max(elapsed + left_s, 1e-9)
            self._bar.update(self._task, description=text, completed=completed)

    def ends(self, finished: Sequence[Finished[Any]]) -> None:
        """Save what there is."""
        self._done += 1
        self._save(finished)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar:
            self._bar.stop()


def _wanted() -> bool:
    return output.is_terminal(sys.stderr)


def _bar(left_s: Callable[[], float]) -> Any:
    """A bar with the time left, which is ours to say: legs differ too much to count them."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = max(0, round(left_s()))
            return Text(f"{seconds // 60}:{seconds % 60:02d} left" if seconds else "")

    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Left(),
        console=Console(file=sys.stderr),
        transient=True,
    )
