"""What threads, GILs and places are called in reports: short, unique and safe to show."""

from __future__ import annotations

from collections import Counter
from typing import Final

from giltrace.model import Trace
from giltrace.model.text import printable

NAME_LIMIT: Final = 40
PLACE_LIMIT: Final = 60


class Labels:
    """The names of the threads, GILs and places of one trace.

    A thread is called by its last name. Where two threads would look the same, the name is followed
    by the process id, the thread id, or both.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._threads = _unique(trace)

    def thread(self, index: int) -> str:
        """The label of ``trace.threads[index]``."""
        return self._threads[index]

    def place(self, index: int) -> str:
        """``server.py:41 in handle``, or ``""`` for the unknown place."""
        return printable(str(self._trace.places[index]), PLACE_LIMIT) if index else ""

    def gil(self, index: int) -> str:
        """``process 123``, with the interpreter unless it is the main one; says if inferred."""
        gil = self._trace.gils[index]
        process = self._trace.processes[gil.process]
        label = f"process {process.pid}" + (" (inferred)" if process.inferred else "")
        if gil.number == 0:
            return label
        if gil.interpreter < 0:
            return f"{label}, number {gil.number}"
        return f"{label}, interpreter {gil.interpreter}"


def _unique(trace: Trace) -> list[str]:
    names = [printable(thread.name, NAME_LIMIT) for thread in trace.threads]
    by_trace = Counter(names)
    by_process = Counter(
        (thread.process, name) for thread, name in zip(trace.threads, names, strict=True)
    )
    labels = []
    for thread, name in zip(trace.threads, names, strict=True):
        parts = []
        same_here = by_process[thread.process, name]
        if by_trace[name] > same_here:
            parts.append(f"pid {trace.processes[thread.process].pid}")
        if same_here > 1:
            parts.append(f"tid {thread.tid}")
        labels.append(f"{name} ({', '.join(parts)})" if parts else name)
    return labels
