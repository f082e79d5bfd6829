"""Limits that several kinds of findings share."""

from __future__ import annotations

from typing import Final

FEW: Final = 3
"""Fewer waits than this make no pattern."""
RARE: Final = 0.01
"""Waits that take less of the time than this do not slow a program down."""
PART: Final = 0.05
"""Waits that are a smaller part of all waiting at a GIL are not what matters there."""
FELT_NS: Final = 100_000_000
"""A single wait of this length is noticed by whoever waits for an answer."""
