"""Who gets the GIL next: the policy of this process and the priorities of its threads."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from giltrace import _core
from giltrace.runtime import names

POLICIES = ("cpython", "manual", "auto")
"""In the order in which `_core` numbers them."""

_chosen = False
_registered = False
_visiting = False
_rules: list[tuple[str, int]] = []


def policy(name: str | None = None) -> str:
    """Choose who gets the GIL next in this process, and return the policy that holds then.

    Args:
        name: ``"cpython"``: as the interpreter has it; everything giltrace changed is undone.
            ``"manual"``: threads of higher priority first. ``"auto"``: the same, and among equal
            priorities the threads that use the GIL little and let go of it by themselves. None
            changes nothing.

    Raises:
        ValueError: there is no such policy.
        giltrace._core.TapError: the GIL of this interpreter cannot be tapped.
    """
    global _chosen
    if name is not None:
        if name not in POLICIES:
            raise ValueError(f"there is no policy {name!r}; there are: {', '.join(POLICIES)}")
        _apply(name)
        _chosen = True
    return POLICIES[_core.state()["policy"]]


def set_priority(n: int, thread: threading.Thread | int | None = None) -> None:
    """Give a thread a priority for the GIL.

    Higher is more urgent, and every thread starts with 0: ``-1`` is for a thread that computes in
    the background. It holds at once, also while the thread waits. Where no policy was chosen, this
    chooses ``"manual"``.

    Args:
        n: the priority, any 32-bit integer.
        thread: a thread of this process, or its `native_id`; None is the caller.

    Raises:
        ValueError: the thread has not been started or has ended, or ``n`` is too large.
        giltrace._core.TapError: the GIL of this interpreter cannot be tapped, or thousands of
            threads have been given priorities already.
    """
    if not _chosen and _core.state()["policy"] == 0:
        _apply("manual")
    try:
        _core.set_level(_native_id(thread), n)
    except OverflowError:
        raise ValueError(f"a priority is a 32-bit integer, not {n}") from None


def get_priority(thread: threading.Thread | int | None = None) -> int:
    """The priority of a thread: 0 unless it was given one.

    Raises:
        ValueError: the thread has not been started or has ended.
    """
    return _core.level(_native_id(thread))


@contextmanager
def priority(n: int) -> Iterator[None]:
    """Give the calling thread a priority for the length of a ``with`` block.

    Raises:
        ValueError, giltrace._core.TapError: see `set_priority`.
    """
    before = get_priority()
    set_priority(n)
    try:
        yield
    finally:
        set_priority(before)


def obey(name: str, rules: str) -> None:
    """Follow what a command line asked for.

    Args:
        name: the policy.
        rules: lines of a priority, a space, and a pattern for names of threads.

    Raises:
        ValueError: that is something else.
        giltrace._core.TapError: the GIL of this interpreter cannot be tapped.
    """
    policy(name)
    _follow(rules)


def visit(name: str, rules: str) -> bool:
    """Follow what a command line asked for until `leave`, while this process is being recorded.

    Args:
        name: as of `obey`.
        rules: as of `obey`.

    Returns:
        Whether it does: not if the process has a policy of its own.

    Raises:
        ValueError, giltrace._core.TapError: as of `obey`.
    """
    global _visiting
    if _core.state()["policy"]:
        return _visiting  # in a forked child
    _visiting = True
    _apply(name)
    _follow(rules)
    return True


def leave() -> None:
    """Undo `visit`. Priorities of threads go back to what they were when recording stops."""
    global _visiting, _registered
    if not _visiting:
        return
    _visiting = False
    names.unfollow(_apply_rules)
    _rules.clear()
    if not _chosen:  # by the program itself, meanwhile
        _core.set_policy(0)
        atexit.unregister(_core.set_policy)
        _registered = False


def _follow(rules: str) -> None:
    for line in rules.splitlines():
        number, _, pattern = line.partition(" ")
        _rules.append((pattern, int(number)))
    if _rules:
        names.follow(_apply_rules)


def _apply_rules(native_id: int, name: str) -> None:
    from fnmatch import fnmatchcase

    for pattern, number in _rules:
        if fnmatchcase(name, pattern):
            try:
                _core.set_level(native_id, number, _visiting)
            except _core.TapError:
                pass  # thousands of threads have priorities; this one has none
            return


def _apply(name: str) -> None:
    global _registered
    _core.set_policy(POLICIES.index(name))
    if not _registered:
        # The end of the interpreter is CPython's own again. Threads that are waited for have ended
        # by then.
        _registered = True
        atexit.register(_core.set_policy, 0)


def _native_id(thread: threading.Thread | int | None) -> int:
    """0 is the caller."""
    if thread is None:
        return 0
    if isinstance(thread, threading.Thread):
        native_id = thread.native_id
        if native_id is None or not thread.is_alive():
            raise ValueError(f"{thread.name} is not running: a priority is a running thread's")
        return native_id
    if not isinstance(thread, int):
        raise TypeError(f"a thread or its native_id was expected, not {type(thread).__name__}")
    if thread <= 0 or not os.path.exists(f"/proc/self/task/{thread}"):
        raise ValueError(f"this process has no thread {thread}")
    return thread
