"""Whether the kernel lets this process record scheduling, and making some up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from giltrace.capture.scheduling import What
from giltrace.model import Trace, build
from giltrace.record.scheduling import Scheduling
from tests.support.timeline import recording

with Scheduling(asked=True) as _tried:
    REFUSED = _tried.refused
    WAKEUPS = _tried.recorded == "wakeups"

needs_scheduling = pytest.mark.skipif(bool(REFUSED), reason=f"no scheduling here: {REFUSED}")
"""For tests that record it: skipped where the kernel refuses, with what it says."""


def timeline(text: str, *rows: tuple[int, What, int, int], sched: str = "switches") -> Trace:
    """The trace of a timeline, and of what the kernel did: time, what, thread index, CPU."""
    made = recording(text)
    tids = [thread.tid for thread in build(made.capture()).threads]
    for ts, what, thread, cpu in rows:
        made.scheduled(ts, what, tids[thread], cpu=cpu)
    made.session = replace(made.session, options={"sched": sched})
    return build(made.capture())
