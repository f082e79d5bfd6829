"""Output files that are whole or not there at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from giltrace.cli import output
from giltrace.errors import GiltraceError

STDOUT: Final = Path("-")


@contextmanager
def open_output(path: Path, *, force: bool, text: bool = False) -> Iterator[BinaryIO]:
    """Open ``path`` for bytes so that it appears only when the block has ended well.

    The data goes to a file beside it first. A device or a pipe is written directly, ``-`` is
    stdout. A symbolic link stays one: the file it points to is written.

    Args:
        path: Where to write.
        force: Replace what is there.
        text: The bytes are text, which a terminal can show.

    Raises:
        GiltraceError: it exists and ``force`` is not set, cannot be written, or binary data would
            go to a terminal.
        BrokenPipeError: the reader is gone.
    """
    if path == STDOUT:
        with _failures(path):
            yield _stdout(text)
        return
    with _failures(path):
        target = Path(os.path.realpath(path))
        if _is_special(target):
            with target.open("wb") as file:
                yield file
            return
        if target.exists() and not force:
            raise _exists(path)
        with _beside(target) as (partial, file):
            yield file
            file.close()
            _publish(partial, target, force=force)


def refuse_same_file(capture: Path, target: Path) -> None:
    """See to it that an output does not replace what it is made of.

    Raises:
        GiltraceError: both are one file.
    """
    try:
        same = target != STDOUT and os.path.samefile(capture, target)
    except OSError:  # one of them is not there, or cannot be: whoever opens it tells
        same = False
    if same:
        raise GiltraceError(
            f"'{target}' is the capture itself", "Name another output; nothing was lost."
        )


def _stdout(text: bool) -> BinaryIO:
    stream = sys.stdout
    if stream is None:
        raise GiltraceError("standard output is closed", "Leave out '>&-', or use -o FILE.")
    if not text and output.is_terminal(stream):
        raise GiltraceError(
            "this format is binary and would garble the terminal",
            "Use -o FILE, or send it to a file or program: -o - > FILE",
        )
    return stream.buffer


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Let errors of the operating system say which output it was."""
    try:
        yield
    except BrokenPipeError:
        raise
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        name = "to standard output" if path == STDOUT else f"'{path}'"
        reason = (error.strerror or str(error)).lower()
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise GiltraceError(f"cannot write {name}: {reason}", remedy) from error


_REMEDIES: Final[dict[int, str]] = {
    errno.ENOENT: "Make the directory first.",
    errno.ENOTDIR: "A part of this path is a file; check it.",
    errno.EISDIR: "Name a file in that directory.",
    errno.EACCES: "Choose a directory in which you may write.",
    errno.EPERM: "Choose a directory in which you may write.",
    errno.EROFS: "Choose a directory in which you may write.",
    errno.ENOSPC: "Make room on that disk, or choose another one.",
    errno.EDQUOT: "Make room within your quota, or choose another disk.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def _exists(path: Path) -> GiltraceError:
    return GiltraceError(
        f"'{path}' exists already", "Use --force to replace it, or name another output."
    )


def _is_special(path: Path) -> bool:
    """Whether this is a device or a pipe, which must be written, never replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return not stat.S_ISREG(mode)


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the directory of ``target``, removed at the end if it is still there."""
    # A name of its own rather than `tempfile`: that would give the result mode 0600.
    partial = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    file = partial.open("xb")
    try:
        with file:
            yield partial, file
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _publish(partial: Path, target: Path, *, force: bool) -> None:
    if force:
        partial.replace(target)
        return
    try:
        # Unlike a rename, a link does not replace what appeared in the meantime.
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        partial.rename(target)
