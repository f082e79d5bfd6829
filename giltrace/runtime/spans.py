"""Recording function calls: the profile slot in CPython 3.11, sys.monitoring from 3.12 on."""

from __future__ import annotations

import sys
from typing import Any

from giltrace import _core

# Not the profilers' own number: cProfile would find it taken, and fail.
_TOOLS = (4, 3)
_NAME = "giltrace"
_monitoring: Any = getattr(sys, "monitoring", None)
_tool = -1


def watch(least_ns: int) -> str:
    """Record calls of at least ``least_ns`` from now on; returns why not, if it cannot."""
    kinds = _core.spans(least_ns)
    taken = list(map(_describe, kinds)) if _monitoring is None else _monitor()
    if not taken:
        return ""
    owners = " and ".join(sorted(set(taken)))
    return f"function calls are not recorded in every thread: {owners} has what that takes"


def unwatch() -> None:
    """Undo everything. A no-op if nothing is recorded."""
    global _tool
    _core.spans_stop()
    if _tool >= 0:
        _monitoring.set_events(_tool, 0)
        for event in (*_ENTER, *_LEAVE):
            _monitoring.register_callback(_tool, event, None)
        _monitoring.free_tool_id(_tool)
        _tool = -1


def _monitor() -> list[str]:
    """Start monitoring; returns the names of those who have the numbers we could use."""
    global _tool
    taken = []
    for tool in _TOOLS:
        try:
            _monitoring.use_tool_id(tool, _NAME)
        except ValueError:
            taken.append(str(_monitoring.get_tool(tool)))
            continue
        _tool = tool
        for events, callback in ((_ENTER, _core.enter), (_LEAVE, _core.leave)):
            for event in events:
                _monitoring.register_callback(tool, event, callback)
        _monitoring.set_events(tool, sum({*_ENTER, *_LEAVE}))
        return []
    return taken


def _events(*names: str) -> tuple[int, ...]:
    return tuple(getattr(_monitoring.events, name) for name in names) if _monitoring else ()


_ENTER = _events("PY_START", "PY_RESUME", "PY_THROW")
_LEAVE = _events("PY_RETURN", "PY_YIELD", "PY_UNWIND")


def _describe(kind: type | None) -> str:
    if kind is None:
        return "a C profiler"
    # A function set with sys.setprofile(), or a profiler's own object.
    return "sys.setprofile()" if kind.__name__ == "function" else kind.__qualname__
