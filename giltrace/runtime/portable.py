"""The portable back end: hand-offs inferred from function calls, where the GIL cannot be tapped.

A thread whose profile function (`sys.setprofile`) is called holds the GIL. If the call before was
another thread's, the GIL has changed hands in between. Where that other thread stands now says
how: inside a C function, which has let go by itself, or anywhere else in its program, where it
would go on. See docs/explanation/portable.md.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys

from giltrace.runtime import info, options, portable_slots
from giltrace.runtime import portable_interpreters as interpreters
from giltrace.runtime import portable_ring as ring
from giltrace.runtime.options import Refused
from giltrace.runtime.portable_switches import Switches

_IMPLEMENTATIONS = ("cpython", "pypy")

# Room for records. A process that forks may do so often, and its children may live for a moment.
_RING_BYTES = 4 << 20
_FORKED_BYTES = 1 << 19
_LEAST_BYTES = 1 << 16
_CHUNK_BYTES = 4096  # what the option "chunks" counts
_WHY_CHARACTERS = 500

_switches: Switches | None = None
_session = ""
_hooked = False


def join(session: str, why: str = "") -> None:
    """Record this process, and those forked from it, into ``session``.

    Args:
        session: its folder.
        why: what keeps the tap from serving, if it was tried.

    Raises:
        Refused: see there.
        OSError: the session's folder has no room, or is gone.
    """
    recording = _switches is not None and _switches.current is not None
    if recording or not interpreters.is_main():
        return
    _refuse()
    notes: tuple[str, ...] = (
        (f"the GIL could not be tapped: {why[:_WHY_CHARACTERS]}",) if why else ()
    )
    if options.policy(session) is not None:
        notes += ("it follows no policy: there are priorities only where the GIL can be tapped",)
    _join(session, notes, _RING_BYTES)


def leave() -> None:
    """Stop recording this process and undo everything. A no-op if it is not recorded."""
    global _switches
    switches, _switches = _switches, None
    if switches is not None:
        switches.stop()


def _join(session: str, notes: tuple[str, ...], size: int) -> None:
    global _switches, _session
    asked = options.read(session)
    if not options.admits(session, asked):
        return
    files = os.statvfs(session)
    # A small /dev/shm, as containers have it, is the target's, too.
    room = min(size, asked.get("chunks", size) * _CHUNK_BYTES, files.f_bavail * files.f_frsize // 4)
    if room < _LEAST_BYTES:
        raise OSError(errno.ENOSPC, "no room for events", session)
    _switches = Switches(session, asked, info.encode(ring.INFO_BYTES, notes), room & ~7)
    _session = session
    _hook_once()
    _switches.begin()


def _hook_once() -> None:
    # Neither of these can be taken back, so both do nothing once the recording is over.
    global _hooked
    if not _hooked:
        _hooked = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        # Registered early, so it runs late: after the target's own exit handlers.
        atexit.register(leave)


def _after_fork() -> None:
    """The child of a recorded process records itself into a ring of its own."""
    global _switches
    switches, _switches = _switches, None
    if switches is None:
        return
    switches.abandon()
    try:
        if os.path.isdir(_session):
            _refuse()
            _join(_session, (), _FORKED_BYTES)
    except Exception as error:  # the fork is the target's; it must not fail because of us
        print(f"giltrace: process {os.getpid()} is not recorded: {error}", file=sys.stderr)


def _refuse() -> None:
    """Raise Refused if there is a reason to."""
    name = sys.implementation.name
    if name not in _IMPLEMENTATIONS:
        raise Refused(f"nothing is known about the GIL of {name}, if it has one")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise Refused("this interpreter runs without a GIL: there is nothing to hand over")
    hooks = (
        ("sys.setprofile", sys.getprofile()),
        ("threading.setprofile", portable_slots.of_new_threads()),
    )
    for slot, owner in hooks:
        if owner is not None and not portable_slots.is_ours(owner):
            raise Refused(
                f"the profile function ({slot}) is taken by {portable_slots.describe(owner)}"
            )
