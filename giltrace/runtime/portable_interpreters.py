"""The other interpreters of a process: whether this is one, and knowing of them before they run.

From CPython 3.12 on one may have a GIL of its own. `sys._current_frames` looks at the frames of
all interpreters' threads, which then go on running while it does, and that corrupts memory: a
portable recording has to be over by then.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The modules that everything written in Python creates interpreters through.
_MODULES = ("_interpreters", "_xxsubinterpreters")

_saved: list[tuple[Any, Any, Any]] = []  # module, ours, theirs


def is_main() -> bool:
    """Whether this is the interpreter that the process began with: that one records for all."""
    for name in _MODULES:
        try:
            current = __import__(name).get_current()
        except (ImportError, AttributeError):
            continue
        return int(current[0] if isinstance(current, tuple) else current) == 0
    return True


def watch(before: Callable[[], None]) -> None:
    """Call ``before()`` ahead of the creation of each interpreter, in the thread that does it."""
    if sys.implementation.name != "cpython" or sys.hexversion < 0x030C0000 or _saved:
        return  # there the interpreters of a process share one GIL
    for name in _MODULES:
        try:
            module: Any = __import__(name)
            theirs = module.create
        except (ImportError, AttributeError):
            continue
        ours = _preceded(theirs, before)
        _saved.append((module, ours, theirs))
        module.create = ours


def unwatch() -> None:
    """Put everything back as found, but for what someone else has wrapped since."""
    for module, ours, theirs in _saved:
        if module.create is ours:
            module.create = theirs
    _saved.clear()


def _preceded(theirs: Any, before: Callable[[], None]) -> Any:
    def create(*args: Any, **kwargs: Any) -> Any:
        if _saved:  # else someone who wrapped us still calls us
            before()
        return theirs(*args, **kwargs)

    return create
