"""What a capture means: threads, holds, waits and hand-offs as numpy columns.

The names below are the public face, imported when first used: `giltrace.model.text`, which is
cheap, should not bring numpy along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from giltrace.model.builder import build, load
    from giltrace.model.calls import Call, OffKind
    from giltrace.model.descriptors import Descriptors
    from giltrace.model.invariants import check
    from giltrace.model.running import Running
    from giltrace.model.scheduling import Scheduled, Scheduling
    from giltrace.model.tables import (
        Cause,
        CpuReadings,
        DropRequests,
        FunctionSpans,
        Gil,
        Handoffs,
        Holds,
        OffGil,
        Place,
        Priorities,
        Process,
        Thread,
        Waits,
    )
    from giltrace.model.trace import Trace

__all__ = [
    "Call",
    "Cause",
    "CpuReadings",
    "Descriptors",
    "DropRequests",
    "FunctionSpans",
    "Gil",
    "Handoffs",
    "Holds",
    "OffGil",
    "OffKind",
    "Place",
    "Priorities",
    "Process",
    "Running",
    "Scheduled",
    "Scheduling",
    "Thread",
    "Trace",
    "Waits",
    "build",
    "check",
    "load",
]

_MODULES = {
    "Call": "calls",
    "Descriptors": "descriptors",
    "OffKind": "calls",
    "Running": "running",
    "Scheduled": "scheduling",
    "Scheduling": "scheduling",
    "Trace": "trace",
    "build": "builder",
    "check": "invariants",
    "load": "builder",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'tables')}"), name)
