"""The capture file while it is being written."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Self

from giltrace.errors import GiltraceError


class CaptureFile:
    """Creates the output; a context manager that closes it.

    Attributes:
        path: where it is.
        stream: open for binary writing.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        """Create ``path``.

        Raises:
            GiltraceError: it exists (and ``force`` is not given), or cannot be written.
        """
        self.path = path
        try:
            if force:
                _remove_regular(path)
            self.stream: BinaryIO = open(path, "xb", 1 << 16, opener=_private)  # noqa: SIM115
        except FileExistsError:
            raise GiltraceError(
                f"{path} exists", "Choose another name with -o, or add --force to replace it."
            ) from None
        except OSError as error:
            raise GiltraceError(f"cannot write {path}: {error.strerror}") from None

    def discard(self) -> None:
        """Remove it again: there is nothing in it worth keeping."""
        self._close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        self._close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        # A full disk has been reported by the write that met it.
        with contextlib.suppress(OSError):
            self.stream.close()


def _private(path: str, flags: int) -> int:
    """Command lines and source text are in a capture: it is its owner's alone."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _remove_regular(path: Path) -> None:
    """Make way for a new capture, but never in place of a device, a folder or a link's target."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise GiltraceError(f"{path} is not a regular file", "Choose another name with -o.")
        os.unlink(path)
