"""What a user may call a trace: a capture, or a file that was exported from one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from giltrace.cli import diagnostics
from giltrace.errors import GiltraceError

_TEXT_FORMATS: Final = (b"{", b"[", b"<", b"# tracer", b"TRACE:")
"""How those that Perfetto reads begin: JSON, systrace in HTML and plain."""
_LARGEST: Final = 4 << 30
"""Perfetto's trace processor is a 32-bit program in its bundled form."""


def trace_bytes(file: Path) -> bytes:
    """The file as Perfetto can read it; a capture is exported first, and its notes are said.

    Raises:
        GiltraceError: it cannot be read, is empty, or is a text that is no trace.
        OSError: the same.
    """
    from giltrace.capture.format import MAGIC

    with file.open("rb") as stream:
        is_capture = stream.read(len(MAGIC)) == MAGIC
    if not is_capture:
        if file.stat().st_size > _LARGEST:
            raise GiltraceError(f"'{file}' is too large to be opened", "Open a shorter recording.")
        data = file.read_bytes()
        if not data:
            raise GiltraceError(f"'{file}' is empty", "Name a capture or an exported trace.")
        if _is_text(data[:512]) and not data.lstrip().startswith(_TEXT_FORMATS):
            raise GiltraceError(
                f"'{file}' is no trace but some other text", "Name a capture or an exported trace."
            )
        return data
    from giltrace.export.registry import create
    from giltrace.model import load

    trace = load(file)
    for note in trace.notes:
        diagnostics.warn(note)
    out = io.BytesIO()
    create("perfetto").write(trace, out)
    return out.getvalue()


def _is_text(data: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in data)
