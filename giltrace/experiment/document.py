"""The JSON document of a bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from giltrace._version import __version__
from giltrace.experiment import machine, published


def start() -> dict[str, Any]:
    """Return what a document says of the bench as a whole; to be called when that starts."""
    return {
        "giltrace": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "talk": published.SOURCE,
    }


def make(
    head: Mapping[str, Any], *, interrupted: bool, **lists: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the document.

    Args:
        head: What `start` returned.
        interrupted: Whether rows are missing because someone pressed Ctrl-C.
        lists: ``rows``, or ``ccbench``.
    """
    return {**head, "interrupted": interrupted, "rows": [], **lists}


def render(value: Mapping[str, Any]) -> bytes:
    """Return a document as it stands in the file."""
    return json.dumps(value, indent=1, allow_nan=False).encode("ascii") + b"\n"
