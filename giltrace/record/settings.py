"""What every process of a recording is asked to record."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from giltrace.record import guarded
from giltrace.runtime import options

Calls: TypeAlias = Literal["off", "io", "all"]
CALLS: Final[tuple[Calls, ...]] = get_args(Calls)
"""Levels of the call layer; each does what those before it do."""

Backend: TypeAlias = Literal["auto", "tap", "portable"]

BACKENDS: Final[dict[str, int]] = {"auto": 0, "tap": -1, "portable": 1}
"""How back ends are written down for the processes that join."""

OPTIONS: Final = "options"
"""The file in a session's folder that says so."""


def recorder_of(folder: Path) -> int:
    """The process id of who reads in a session's folder; 0 if nothing says so."""
    try:
        words = guarded.read_text(folder / OPTIONS).split()
        return int(words[words.index("recorder") + 1])
    except (OSError, ValueError, IndexError):
        return 0


@dataclass(frozen=True)
class Settings:
    """What joining processes read from their session's folder.

    Attributes:
        stacks: Python frames to record at each release.
        chunks: 4 KiB chunks of event memory per process.
        calls: "io" names the C calls in which threads let the GIL go, "all" records function
            calls too.
        least_span_ns: the shortest function call that "all" records.
        backend: "tap" sees hand-offs, "portable" infers them, "auto" does that only where the GIL
            cannot be tapped.
        children: whether processes that the first one starts are recorded, too.
    """

    stacks: int = 1
    chunks: int = 4096
    calls: Calls = "io"
    least_span_ns: int = 100_000
    backend: Backend = "auto"
    children: bool = True

    def write(self, folder: Path, *, recorder: int) -> None:
        """Leave word in a session's folder; ``recorder`` is the process id of who reads there.

        Raises:
            OSError: it cannot be written.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"calls": CALLS.index(self.calls), "recorder": recorder}
        values["portable"] = BACKENDS[values.pop("backend")]
        values |= {f"{name}_namespace": options.namespace(name) for name in options.NAMESPACES}
        lines = "".join(f"{key} {int(value)}\n" for key, value in values.items())
        with open(folder / OPTIONS, "w", encoding="ascii", opener=_private) as file:
            file.write(lines)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What was written there.

        Raises:
            OSError, ValueError: it is not there, or something else.
        """
        lines = (folder / OPTIONS).read_text(encoding="ascii").splitlines()
        values: dict[str, Any] = {key: int(value) for key, value in map(str.split, lines)}
        values |= {"calls": CALLS[values["calls"]], "children": bool(values["children"])}
        values["backend"] = next(k for k, v in BACKENDS.items() if v == values["portable"])
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def described(self) -> dict[str, Any]:
        """For the first record of a capture."""
        described: dict[str, Any] = {
            "stacks": self.stacks,
            "calls": self.calls,
            "backend": self.backend,
            "children": self.children,
        }
        if self.calls == "all":
            described["least_span_ns"] = self.least_span_ns
        return described


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
