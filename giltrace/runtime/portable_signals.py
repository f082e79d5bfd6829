"""Not losing what signal handlers of the target raise, for the portable back end in PyPy.

There, a handler runs between any two instructions of the main thread, those of our profile function
among them. That is as good a place as any other of the program, but for two:

- in the middle of writing something down, which would be left half done;
- in a callback of a weak reference, where the interpreter drops what is raised. The import system
  has one for each module imported, the garbage collector runs them at any time, and a profile
  function makes them last many times as long.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from typing import Any

_pypy: Any = None
if sys.implementation.name == "pypy":
    _pypy = __import__("__pypy__.thread").thread
    _signal: Any = __import__("_signal")

_import_locks: dict[str, Any] = {}
_saved: list[tuple[Any, Any]] = []  # ours, theirs


def can_be_held_back() -> bool:
    """Whether signal handlers run in the calling thread, and can be told to wait."""
    if _pypy is None:
        return False
    try:
        _pypy._signals_exit()
    except RuntimeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise  # by a handler
        return False
    _pypy._signals_enter()
    return True


def hold_back() -> None:
    """No signal handler runs in the calling thread until `let_through`."""
    _pypy._signals_exit()


def let_through(ident: int) -> None:
    """Signal handlers run again in the calling thread; ``ident`` is its own.

    One that is due does so right here, and may raise.
    """
    _pypy._signals_enter()
    # This looks for signals. Otherwise one that came meanwhile would have to wait for thousands of
    # instructions, and for as long as this thread is blocked.
    _signal.pthread_kill(ident, 0)


def keep_import_locks() -> None:
    """Let no callback of an import lock run, by keeping the locks, until `drop_import_locks`."""
    if _pypy is None or _saved:
        return
    system: Any = sys.modules["_frozen_importlib"]
    theirs = system._get_module_lock

    def _get_module_lock(name: str) -> Any:
        lock = theirs(name)
        if _saved:  # else someone who wrapped us still calls us
            _import_locks[name] = lock
        return lock

    _saved.append((_get_module_lock, theirs))
    system._get_module_lock = _get_module_lock
    for name, reference in list(system._module_locks.items()):
        _import_locks[name] = reference()


def drop_import_locks() -> None:
    """Put everything back as found, but for what someone else has wrapped since."""
    for ours, theirs in _saved:
        system: Any = sys.modules["_frozen_importlib"]
        if system._get_module_lock is ours:
            system._get_module_lock = theirs
    _saved.clear()
    _import_locks.clear()
