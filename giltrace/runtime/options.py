"""What a recorder has left in its session's folder for the processes that join.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import os

_FILE = "options"
_POLICY = "policy"
_ONLY = "only"
NAMESPACES = ("pid", "time")
"""Kinds of namespaces that a recorder has to share with what it records."""


OWN_POLICY = "it follows a policy of its own"
"""Why a process that runs already is not recorded under another policy."""


class Refused(Exception):
    """This process cannot be recorded in this way, and why."""


def read(session: str) -> dict[str, int]:
    """The options in a session's folder.

    Raises:
        OSError, ValueError: there are none, or something else.
    """
    with open(os.path.join(session, _FILE), encoding="ascii") as lines:
        return {key: int(value) for key, value in (line.split() for line in lines)}


def policy(session: str) -> tuple[str, str] | None:
    """The policy that the session's processes are to follow, and its rules; None: their own.

    Raises:
        OSError: the session's folder cannot be read.
    """
    try:
        with open(os.path.join(session, _POLICY), encoding="utf-8") as file:
            name, _, rules = file.read().partition("\n")
    except FileNotFoundError:
        return None
    return name, rules


def admits(session: str, asked: dict[str, int]) -> bool:
    """Whether the session records this process: not if it is over, or another's alone.

    Raises:
        Refused: it would, but cannot.
        OSError: the session's folder has no room, or is gone.
    """
    for name in NAMESPACES:
        # Process ids and clocks mean something else there: also that of the recorder.
        if asked.get(f"{name}_namespace", 0) not in (0, namespace(name)):
            raise Refused(
                f"it runs in a {name} namespace of its own, as in a container, where the recorder "
                "cannot follow it: run giltrace inside"
            )
    if not is_alive(asked.get("recorder", 0)):
        return False
    if os.lstat(session).st_uid not in (0, os.geteuid()):
        # Its owner could make us create files wherever we may and they may not.
        raise Refused("it runs as another user than the recorder")
    return bool(asked.get("children", 1)) or _is_only(session)


def namespace(name: str) -> int:
    """The number of this process's namespace of that kind; 0 if that cannot be known."""
    try:
        return os.stat(f"/proc/self/ns/{name}").st_ino
    except OSError:
        return 0


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_only(session: str) -> bool:
    """Whether this is the process that came first, whatever program it was then."""
    path, me = os.path.join(session, _ONLY), str(os.getpid()).encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        # Empty for a moment, while the one that came first writes it.
        with open(path, "rb") as file:
            return file.read() == me
    try:
        os.write(fd, me)
    finally:
        os.close(fd)
    return True
