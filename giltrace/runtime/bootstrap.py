"""Joining a recording: this process gets an arena in the session's folder and starts the tap."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time

from giltrace import _core
from giltrace.runtime import calls, info, names, options, spans

# Levels of the call layer.
_IO, _ALL = 1, 2
# Room for threads, events (4 KiB chunks) and code records (bytes): the first that takes no more
# than a quarter of what is free. A small /dev/shm, as containers have it, is the target's, too.
_GEOMETRIES = ((4096, 4096, 4 << 20), (1024, 1024, 2 << 20), (256, 256, 1 << 20), (64, 64, 1 << 18))
# A forked process gets less: there may be many, they often live for a moment only, and each page
# is allocated at the start.
_FORKED = 2

_session = ""
_at_fork = _at_exit = False


def join(session: str) -> bool:
    """Record this process, and those forked from it, into ``session``.

    Returns:
        Whether it does: not if another recording has this process, or the session does not want it.

    Raises:
        giltrace._core.TapError: the GIL cannot be tapped here.
        Refused: this process cannot be followed by the recorder (see `options.admits`).
        OSError: the session's folder has no room, or is gone.
    """
    return _join(session, first=0)


def attach(session: str) -> None:
    """Join in the middle of the program's life, from a thread that is not the program's.

    Raises:
        giltrace._core.TapError, Refused, OSError: as of `join`, or the process is being recorded.
    """
    if _core.state()["recording"]:
        if _session == session:  # asked twice, in two ways
            name_visitor()
            return
        if _session and options.is_alive(_recorder(_session)):
            raise _core.TapError("it is being recorded already")
        leave()  # the recorder was killed
    if options.policy(session) is not None and _core.state()["policy"]:
        raise _core.TapError(options.OWN_POLICY)
    join(session)
    name_visitor()


def detach(session: str) -> bool:
    """`leave`, from a thread that is not the program's; False if this is another's recording."""
    if _session != session:
        return False
    name_visitor()
    leave()
    return True


def name_visitor() -> None:
    """What brings us in and out holds the GIL, too, for a moment: say who that is."""
    me = threading.get_native_id()
    if me not in {thread.native_id for thread in threading.enumerate()}:
        _core.name_thread(me, b"giltrace attach")


def _join(session: str, first: int) -> bool:
    global _session
    if _core.state()["recording"]:
        return False
    asked = options.read(session)
    if not options.admits(session, asked):
        return False
    _start(session, asked, first)
    _session = session
    try:
        _follow_policy(session)
    except BaseException:
        leave()
        raise
    names.watch()
    if asked.get("calls", 0) >= _IO:
        calls.watch()
    if asked.get("calls", 0) >= _ALL and (why := spans.watch(asked["least_span_ns"])):
        print(f"giltrace: {why}", file=sys.stderr)
    _hook_once()
    return True


def _follow_policy(session: str) -> None:
    if (asked := options.policy(session)) is not None:
        # Seldom wanted, and not cheap to import.
        from giltrace.runtime import priorities

        priorities.visit(*asked)


def _leave_policy() -> None:
    if (priorities := sys.modules.get("giltrace.runtime.priorities")) is not None:
        priorities.leave()


def leave() -> None:
    """Stop recording this process and undo everything. A no-op if it is not recorded."""
    global _session, _at_exit
    _session = ""
    _leave_policy()
    names.unwatch()
    calls.unwatch()
    spans.unwatch()
    _core.stop()
    if _at_exit:
        _at_exit = False
        atexit.unregister(_core.finalizing)


def _start(session: str, asked: dict[str, int], first: int) -> None:
    about = info.encode(_core.INFO_BYTES)
    files = os.statvfs(session)
    free = files.f_bavail * files.f_frsize
    most = asked.get("chunks", _GEOMETRIES[0][1])
    for slots, chunks, codes_bytes in _GEOMETRIES[first:]:
        # What was asked for goes for the largest; the others are what there is room for.
        room = most if chunks == _GEOMETRIES[0][1] else min(chunks, most)
        if _core.arena_bytes(slots, room, codes_bytes) > free // 4:
            continue
        _core.start(
            # Unique also when this process has been recorded before it became another program.
            os.path.join(session, f"{os.getpid()}.{time.monotonic_ns()}.arena"),
            about,
            slots=slots,
            chunks=room,
            codes_bytes=codes_bytes,
            stacks=asked.get("stacks", 1),
        )
        return
    raise OSError(errno.ENOSPC, "no room for events", session)


def _hook_once() -> None:
    global _at_fork, _at_exit
    if not _at_fork:
        _at_fork = True
        # This cannot be taken back, so it does nothing once the recording is over.
        os.register_at_fork(after_in_child=_after_fork)
    if not _at_exit:
        _at_exit = True
        # Registered early, so it runs late: after the target's own exit handlers.
        atexit.register(_core.finalizing)


def _after_fork() -> None:
    """The child of a recorded process joins with an arena of its own (the tap has let go)."""
    global _session
    session, _session = _session, ""
    if session and os.path.isdir(session):
        try:
            _join(session, _FORKED)
        except Exception as error:  # the fork is the target's; it must not fail because of us
            print(f"giltrace: process {os.getpid()} is not recorded: {error}", file=sys.stderr)
    if not _session:
        _leave_policy()


def _recorder(session: str) -> int:
    try:
        return options.read(session).get("recorder", 0)
    except (OSError, ValueError):
        return 0  # and its folder is gone
