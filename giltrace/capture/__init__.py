"""The capture file ``*.giltrace``: its records, a cheap writer and a tolerant reader.

The names below are the public face. Those of the reader are imported when first used, because
they need numpy and the recorder, which only writes, should not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from giltrace.capture.format import CaptureError
from giltrace.capture.writer import CaptureWriter

if TYPE_CHECKING:
    from giltrace.capture.reader import Capture, Events, Loss, read

__all__ = ["Capture", "CaptureError", "CaptureWriter", "Events", "Loss", "read"]

_LAZY = frozenset({"Capture", "Events", "Loss", "read"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from giltrace.capture import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
