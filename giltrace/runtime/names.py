"""Following what `threading` calls its threads, now and whenever that changes.

Two places in `threading.Thread` see every name: ``_set_native_id``, which each thread calls once
as it starts (also threads that Python did not start, when they first ask who they are), and the
setter of ``name``. Both are wrapped while someone listens and put back afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from giltrace import _core

Listener: TypeAlias = Callable[[int, str], object]
"""Called with a thread's native id and its name, in whatever thread starts or renames it."""

_Thread: Any = threading.Thread
_ELLIPSIS = "…".encode()
_saved: dict[str, Any] = {}
_listeners: list[Listener] = []


def watch() -> None:
    """Tell the recorder about the threads there are and those to come. After a fork: anew."""
    follow(_tell_recorder)


def unwatch() -> None:
    """Tell the recorder no more."""
    unfollow(_tell_recorder)


def follow(listener: Listener) -> None:
    """Call ``listener`` for each thread there is, and then for each that starts or is renamed."""
    if not _saved and hasattr(_Thread, "_set_native_id") and isinstance(_Thread.name, property):
        _wrap()
    if listener not in _listeners:
        _listeners.append(listener)
    for thread in threading.enumerate():
        # After a fork a thread object may still hold the native id it had in the parent.
        mine = thread.ident == threading.get_ident()
        native_id = threading.get_native_id() if mine else thread.native_id
        if native_id is not None:
            listener(native_id, str(thread.name))


def unfollow(listener: Listener) -> None:
    """Call it no more; after the last, `threading.Thread` is put back as found.

    Unless someone else has wrapped it since: then what is left there does nothing.
    """
    if listener in _listeners:
        _listeners.remove(listener)
    if _listeners:
        return
    for attribute, (ours, theirs) in _saved.items():
        if _Thread.__dict__.get(attribute) is ours:
            setattr(_Thread, attribute, theirs)
    _saved.clear()


def _wrap() -> None:
    set_native_id, name = _Thread._set_native_id, _Thread.name

    def _set_native_id(self: threading.Thread) -> None:
        set_native_id(self)
        _tell(self)

    def set_name(self: threading.Thread, value: object) -> None:
        name.fset(self, value)
        if self.is_alive():  # of a thread that has ended, the id may be another's by now
            _tell(self)

    renamed = property(name.fget, set_name, name.fdel, name.__doc__)
    _saved["_set_native_id"] = (_set_native_id, set_native_id)
    _saved["name"] = (renamed, name)
    _Thread._set_native_id = _set_native_id
    _Thread.name = renamed


def _tell(thread: threading.Thread) -> None:
    if thread.native_id is not None:
        for listener in tuple(_listeners):
            listener(thread.native_id, str(thread.name))


def _tell_recorder(native_id: int, name: str) -> None:
    _core.name_thread(native_id, _encode(name))


def _encode(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) > _core.NAME_BYTES:
        keep = raw[: _core.NAME_BYTES - len(_ELLIPSIS)]
        raw = keep.decode("utf-8", "ignore").encode() + _ELLIPSIS
    return raw
