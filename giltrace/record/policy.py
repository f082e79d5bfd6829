"""Which policy a target is to run under, and how its processes are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from giltrace.errors import GiltraceError
from giltrace.record.session import Session, with_boot

Name: TypeAlias = Literal["cpython", "manual", "auto"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)


@dataclass(frozen=True)
class Policy:
    """A policy, and the priorities of threads by their names.

    Attributes:
        name: "cpython" leaves everything as it is.
        rules: (pattern, priority); the first that a thread's name matches counts.
    """

    name: Name = "cpython"
    rules: tuple[tuple[str, int], ...] = ()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with what makes every Python started in it follow this policy."""
        if self.name == "cpython":
            return dict(base)
        # Both names are read by giltrace.runtime.boot, in whatever Python that is.
        return with_boot(base) | {"GILTRACE_POLICY": self.name, "GILTRACE_PRIORITIES": self._lines}

    def ask(self, session: Session) -> None:
        """Make every process of a session follow this policy while it is recorded.

        Raises:
            GiltraceError: the session's folder cannot be written to.
        """
        if self.name != "cpython":
            session.ask_policy(f"{self.name}\n{self._lines}")

    @property
    def _lines(self) -> str:
        """The rules as `giltrace.runtime.priorities` reads them."""
        return "\n".join(f"{priority} {pattern}" for pattern, priority in self.rules)

    def described(self) -> dict[str, Any]:
        """For the first record of a capture."""
        if self.name == "cpython":
            return {}
        return {"policy": self.name, "priorities": dict(self.rules)}


def policy_of(name: Name | None, rules: tuple[str, ...]) -> Policy:
    """What a command line asks for: ``rules`` are texts ``PATTERN=N``.

    Raises:
        GiltraceError: a rule is none, or would have no effect.
    """
    read = tuple(map(_rule, rules))
    if name == "cpython" and read:
        raise GiltraceError(
            "CPython itself knows no priorities", "Leave --policy out, or say --policy manual."
        )
    return Policy(name or ("manual" if read else "cpython"), read)


def _rule(text: str) -> tuple[str, int]:
    pattern, equals, number = text.rpartition("=")
    try:
        priority = int(number)
    except ValueError:
        priority = 1 << 31
    if not equals or not pattern or not -(1 << 31) <= priority < 1 << 31 or "\n" in pattern:
        raise GiltraceError(
            f"--priority {text!r} is not of the form PATTERN=N",
            "For example: --priority 'worker-*=-1'. N is a whole number; higher is more urgent.",
            exit_code=2,
        )
    return os.fsencode(pattern).decode("utf-8", "replace"), priority
