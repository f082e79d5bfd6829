"""Joining a recording in the middle of a program's life, and leaving it: what attaching runs.

The text of this file is run inside a process that may never have heard of giltrace, in a thread
that lives as long as that takes. So it is complete in itself, and it leaves `sys.path` and
`sys.modules` as they were: see docs/adr/0010.
"""

from __future__ import annotations

import os
import sys
import time

# As the interpreter has them from its start on.
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import EXTENSION_SUFFIXES, spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def enter(session: str, root: str, version: str) -> None:
    """Record this process into ``session``, or leave word there why not.

    Args:
        session: the recording's folder; if it is gone, nothing happens.
        root: the folder that the recorder's own giltrace is in.
        version: of the recorder's giltrace; no other will do.
    """
    _alone(session, lambda: _enter(session, root, version))


def leave(session: str) -> None:
    """Stop recording this process into ``session`` and undo everything; leave word when done."""
    _alone(session, lambda: _leave(session))


def _alone(session: str, deed: Callable[[], None]) -> None:
    """Do one thing at a time: who asks for something may do so in two ways, to be heard."""
    path = os.path.join(session, f"{os.getpid()}.busy")
    while True:
        # Each time: while this one waits, the other may have begun to record.
        bootstrap = sys.modules.get("giltrace.runtime.bootstrap")
        if bootstrap is not None and hasattr(bootstrap, "name_visitor"):
            bootstrap.name_visitor()
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            break
        except FileExistsError:
            time.sleep(0.01)
        except OSError:
            return  # the session is over
    try:
        deed()
    finally:
        try:
            os.unlink(path)
        except OSError:
            pass


def _enter(session: str, root: str, version: str) -> None:
    before = set(sys.modules)
    write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        _import(root, version)
        from giltrace import _core
        from giltrace.runtime import bootstrap

        try:
            bootstrap.attach(session)
        finally:
            # Those of a recorder that was killed are there before us.
            kept, ours = _core.keep(None), {name: sys.modules[name] for name in _ours() - before}
            _core.keep({**(kept if isinstance(kept, dict) else {}), **ours})
    except ImportError as error:
        _refuse(session, f"missing: {error}")
        _forget(_ours() - before)
    except Exception as error:  # whatever it is, it is not the target's
        _refuse(session, str(error))
        _forget(_ours() - before)
    finally:
        sys.dont_write_bytecode = write


def _leave(session: str) -> None:
    bootstrap = sys.modules.get("giltrace.runtime.bootstrap")
    if bootstrap is None or not bootstrap.detach(session):
        return
    from giltrace import _core

    ours = _core.keep(None)
    _core.keep(ours)
    if isinstance(ours, dict):
        _forget({name for name, module in ours.items() if sys.modules.get(name) is module})
    _write(session, "left", "")


def _import(root: str, version: str) -> None:
    """Import giltrace, if this process has not.

    Raises:
        ImportError: there is none of this version for this interpreter.
    """
    if "giltrace" not in sys.modules:
        _load(os.path.join(root, "giltrace"))
    import giltrace

    found = getattr(giltrace, "__version__", "")
    if found != version:
        raise ImportError(f"giltrace {found} is there, not {version}")
    import giltrace._core

    # Attached to before: its handlers for forks cannot be taken back, so they are used again.
    kept = giltrace._core.keep(None)
    giltrace._core.keep(kept)
    if isinstance(kept, dict):
        for name, module in kept.items():
            sys.modules.setdefault(name, module)
    import giltrace.runtime.bootstrap


def _load(package: str) -> None:
    # That of the recorder, where it is built for this interpreter and can be read; without an
    # entry in sys.path, since its folder may be full of packages for another Python.
    if any(os.access(f"{package}/_core{suffix}", os.R_OK) for suffix in EXTENSION_SUFFIXES):
        spec = spec_from_file_location(
            "giltrace", f"{package}/__init__.py", submodule_search_locations=[package]
        )
        if spec is not None and spec.loader is not None:
            sys.modules["giltrace"] = module = module_from_spec(spec)
            spec.loader.exec_module(module)


def _ours() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "giltrace"}


def _forget(names: set[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def _refuse(session: str, reason: str) -> None:
    _write(session, "refused", f"{sys.executable}\n{reason}")


def _write(session: str, kind: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Under another name at first: what is there is whole.
        path = os.path.join(session, f"{os.getpid()}.{kind}")
        fd = os.open(f"{path}.part", flags, 0o600)
        try:
            os.write(fd, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(fd)
        os.rename(f"{path}.part", path)
    except OSError:
        pass  # nobody waits for it any more
