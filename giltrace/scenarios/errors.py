"""The error of this package."""

from __future__ import annotations

from giltrace.errors import GiltraceError


class ScenarioError(GiltraceError):
    """A scenario cannot be run, or its client or server failed."""
