"""PerfettoSQL in tests, offline; a test is skipped, and says why, where there is no engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from giltrace.viewer import processor
from giltrace.viewer.processor import Queries, missing

__all__ = ["Queries", "missing", "open_trace"]


@contextmanager
def open_trace(data: bytes) -> Iterator[Queries]:
    """Load a trace and give an object to query it; skips the test without an engine.

    Args:
        data: A whole trace in any format the engine knows (Perfetto, Chrome JSON).
    """
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with processor.open_trace(data) as queries:
        yield queries
