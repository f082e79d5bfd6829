"""See who holds the GIL, who waits for it and why: a GIL profiler for CPython.

Importing this package imports nothing else: it is also imported inside the programs under
measurement. Every public name is fetched from its module when it is first used.
"""

from __future__ import annotations

from giltrace._version import __version__

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from giltrace.model.builder import load
    from giltrace.model.trace import Trace
    from giltrace.record.recorder import Recorder
    from giltrace.runtime.priorities import get_priority, policy, priority, set_priority

__all__ = [
    "Recorder",
    "Trace",
    "__version__",
    "get_priority",
    "load",
    "policy",
    "priority",
    "set_priority",
]

_HOMES = {
    "Recorder": "giltrace.record.recorder",
    "Trace": "giltrace.model.trace",
    "get_priority": "giltrace.runtime.priorities",
    "load": "giltrace.model.builder",
    "policy": "giltrace.runtime.priorities",
    "priority": "giltrace.runtime.priorities",
    "set_priority": "giltrace.runtime.priorities",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Even importlib waits until it is needed.
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
