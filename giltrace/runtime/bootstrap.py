"""Joining a recording: this process gets an arena in the session's folder and starts the tap."""

from __future__ import annotations

import atexit
import os
import sys

from giltrace import _core
from giltrace.runtime import info, names

_OPTIONS = "options"
# Geometries to try in turn, as (slots, chunks, bytes for code records): a small /dev/shm, as
# containers have it, still gives a recording, only with less room for bursts.
_GEOMETRIES = ((4096, None, 8 << 20), (1024, 1024, 4 << 20), (256, 128, 1 << 20))

_session = ""
_joins = 0
_hooked = False


def join(session: str) -> None:
    """Record this process, and those forked from it, into ``session``.

    Raises:
        giltrace._core.TapError: the GIL cannot be tapped here.
        OSError: the session's folder has no room, or is gone.
    """
    global _session
    options = _read_options(session)
    if not _alive(options.get("recorder", 0)):
        return
    _start(session, options)
    _session = session
    names.watch()
    _hook_once()


def leave() -> None:
    """Stop recording this process and undo everything. A no-op if it is not recorded."""
    global _session
    _session = ""
    names.unwatch()
    _core.stop()


def _start(session: str, options: dict[str, int]) -> None:
    global _joins
    about = info.encode(_core.INFO_BYTES)
    chunks = options.get("chunks", 4096)
    for number, (slots, fewer, codes_bytes) in enumerate(_GEOMETRIES):
        _joins += 1
        path = os.path.join(session, f"{os.getpid()}.{_joins}.arena")
        try:
            _core.start(
                path,
                about,
                slots=slots,
                chunks=min(fewer or chunks, chunks),
                codes_bytes=codes_bytes,
                stacks=options.get("stacks", 1),
            )
            return
        except OSError:
            if number == len(_GEOMETRIES) - 1:
                raise


def _hook_once() -> None:
    # Neither of these can be taken back, so both do nothing once the recording is over.
    global _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_after_fork)
        # Registered early, so it runs late: after the target's own exit handlers.
        atexit.register(_core.finalizing)


def _after_fork() -> None:
    """The child of a recorded process joins with an arena of its own (the tap has let go)."""
    global _session
    session, _session = _session, ""
    if session and os.path.isdir(session):
        try:
            join(session)
        except Exception as error:  # the fork is the target's; it must not fail because of us
            print(f"giltrace: process {os.getpid()} is not recorded: {error}", file=sys.stderr)


def _read_options(session: str) -> dict[str, int]:
    with open(os.path.join(session, _OPTIONS), encoding="ascii") as lines:
        return {key: int(value) for key, value in (line.split() for line in lines)}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid > 0
