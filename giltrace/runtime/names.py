"""Telling the recorder what `threading` calls its threads, now and whenever that changes.

Two places in `threading.Thread` see every name: ``_set_native_id``, which each thread calls once
as it starts (also threads that Python did not start, when they first ask who they are), and the
setter of ``name``. Both are wrapped while recording and put back afterwards.
"""

from __future__ import annotations

import threading
from typing import Any

from giltrace import _core

_Thread: Any = threading.Thread
_ELLIPSIS = "…".encode()
_saved: dict[str, Any] = {}


def watch() -> None:
    """Name the threads there are and follow those to come. Again after a fork: names anew."""
    if not _saved and hasattr(_Thread, "_set_native_id") and isinstance(_Thread.name, property):
        _wrap()
    for thread in threading.enumerate():
        # After a fork a thread object may still hold the native id it had in the parent.
        mine = thread.ident == threading.get_ident()
        _tell(thread, threading.get_native_id() if mine else thread.native_id)


def unwatch() -> None:
    """Put `threading.Thread` back as found, unless someone else has wrapped it since."""
    for attribute, (ours, theirs) in _saved.items():
        if _Thread.__dict__.get(attribute) is ours:
            setattr(_Thread, attribute, theirs)
    _saved.clear()


def _wrap() -> None:
    set_native_id, name = _Thread._set_native_id, _Thread.name

    def _set_native_id(self: threading.Thread) -> None:
        set_native_id(self)
        _tell(self, self.native_id)

    def set_name(self: threading.Thread, value: object) -> None:
        name.fset(self, value)
        if self.is_alive():  # of a thread that has ended, the id may be another's by now
            _tell(self, self.native_id)

    renamed = property(name.fget, set_name, name.fdel, name.__doc__)
    _saved["_set_native_id"] = (_set_native_id, set_native_id)
    _saved["name"] = (renamed, name)
    _Thread._set_native_id = _set_native_id
    _Thread.name = renamed


def _tell(thread: threading.Thread, native_id: int | None) -> None:
    if native_id is not None:
        _core.name_thread(native_id, _encode(str(thread.name)))


def _encode(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) > _core.NAME_BYTES:
        keep = raw[: _core.NAME_BYTES - len(_ELLIPSIS)]
        raw = keep.decode("utf-8", "ignore").encode() + _ELLIPSIS
    return raw
