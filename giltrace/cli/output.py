"""Writing data to stdout: what it can show, and errors that say it was stdout."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from typing import Final, TextIO

from giltrace.errors import GiltraceError

_USUAL_COLUMNS: Final = 80
_PLAIN: Final = {"µ": "u", "…": "...", "–": "-", "—": "-", "’": "'", "×": "x", "─": "-"}


def coloured(stream: TextIO | None) -> bool:
    """Whether ``stream`` may get colour: a terminal that knows it, and NO_COLOR is not set."""
    return (
        is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at ``stream``; a closed one has no reader."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def width(stream: TextIO | None = None) -> int | None:
    """The columns of ``stream`` (stdout), or None if it is no terminal and COLUMNS does not say."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    stream = stream or sys.stdout
    if not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS


def encodable(text: str, stream: TextIO) -> str:
    """``text`` with what ``stream`` cannot encode replaced: a report must not die of a ``µ``."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "giltrace-plain").decode(encoding)


def write(text: str) -> None:
    """Write ``text`` to stdout, as far as its encoding goes (see `encodable`).

    Raises:
        GiltraceError: stdout is closed, or could not be written.
        BrokenPipeError: the reader is gone.
    """
    stream = _stdout()
    try:
        stream.write(encodable(text, stream))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _failed(error) from error


def flush() -> None:
    """Write out what is buffered for stdout.

    Raises:
        GiltraceError: stdout could not be written.
        BrokenPipeError: the reader is gone.
    """
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _failed(error) from error


def discard() -> None:
    """Point stdout to nowhere, so that the interpreter's own last flush cannot fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _stdout() -> TextIO:
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise GiltraceError("standard output is closed", "Leave out '>&-', or use '> /dev/null'.")
    return stream


def _failed(error: OSError) -> GiltraceError:
    return GiltraceError(
        f"cannot write to standard output: {(error.strerror or str(error)).lower()}",
        "The output is incomplete: make room and run it again.",
    )


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char, "?") for char in missing), error.end


codecs.register_error("giltrace-plain", _plain)
