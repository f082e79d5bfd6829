"""What another interpreter needs of giltrace: the scenarios, alone in a directory of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import giltrace
from giltrace.errors import GiltraceError
from giltrace.scenarios.c_zmq import find_sources

_PARTS = (
    *("__init__.py", "_version.py", "errors.py", "scenarios/*.py"),
    # For recording. The extension of each version of CPython has a name of its own.
    *("runtime/**/*.py", "_core*.so"),
)


def copied(cache: Path) -> Path:
    """Return a directory for PYTHONPATH that has these files and nothing else.

    PYTHONPATH comes before an interpreter's own packages, and the directory that giltrace was
    installed into is full of packages made for this one. Hence a copy, in the cache under a name
    that stands for its content.

    Raises:
        GiltraceError: The cache cannot be written.
    """
    files = dict(_files())
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    target = cache / f"sources-{digest.hexdigest()[:16]}"
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Made aside and moved into place: another process may be doing the same.
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "made"
            for name, path in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, made / name)
            try:
                os.rename(made, target)
            except OSError:
                if not target.is_dir():
                    raise
    except OSError as error:
        raise cannot_write(cache, error) from error
    return target


def cannot_write(cache: Path, error: OSError) -> GiltraceError:
    """The error to raise when the cache is of no use."""
    return GiltraceError(
        f"cannot write to {cache}: {error.strerror or error}",
        "Set XDG_CACHE_HOME to a directory that can be written to.",
    )


def _files() -> Iterator[tuple[str, Path]]:
    package = Path(giltrace.__path__[0])
    for pattern in _PARTS:
        for path in sorted(package.glob(pattern)):
            yield f"giltrace/{path.relative_to(package).as_posix()}", path
    try:
        c_server = find_sources()
    except GiltraceError:
        return  # the scenario will say so
    for path in sorted(c_server.iterdir()):
        if path.suffix in (".c", ".h") or path.name == "Makefile":
            yield f"c_server/{path.name}", path
