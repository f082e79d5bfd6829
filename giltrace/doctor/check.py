"""The answer to one question about this machine or about a capture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    """It is there and works."""
    MISSING = "missing"
    """It is not there, or does not work; ``remedy`` says what to do."""
    NOTE = "note"
    """It works, but there is something to know."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``giltrace doctor``.

    Attributes:
        name: What was checked, one or two words.
        status: How it ended.
        detail: What was found, one sentence without a full stop. May hold hostile text.
        remedy: What to do about it, or ``""``.
        required: Recording cannot work while this is missing.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""
    required: bool = False


def can_record(checks: Iterable[Check]) -> bool:
    """Whether nothing that recording requires is missing."""
    return not any(check.required and check.status is Status.MISSING for check in checks)
