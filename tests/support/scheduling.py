"""Whether the kernel lets this process record scheduling."""

from __future__ import annotations

import pytest

from giltrace.record.scheduling import Scheduling

with Scheduling(asked=True) as _tried:
    REFUSED = _tried.refused
    WAKEUPS = _tried.recorded == "wakeups"

needs_scheduling = pytest.mark.skipif(bool(REFUSED), reason=f"no scheduling here: {REFUSED}")
"""For tests that record it: skipped where the kernel refuses, with what it says."""
