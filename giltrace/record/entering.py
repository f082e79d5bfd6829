"""Making a running process join a session, or leave it, through the front door of its Python.

From 3.14 on CPython has a door for this (`sys.remote_exec`); before that a thread of the process
is stopped for a moment (docs/adr/0010). In either case what runs there is the text of
`giltrace.runtime.entering`, in a thread of its own, when the process can be brought to run it.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final, Literal, TypeAlias

import giltrace
from giltrace import _core
from giltrace._version import __version__
from giltrace.errors import GiltraceError
from giltrace.record.running import Running, gone, not_allowed
from giltrace.record.session import Session, without_session
from giltrace.runtime import entering

Deed: TypeAlias = Literal["enter", "leave"]

_REMOTE_EXEC: Final = (3, 14)
# How often to look whether a thread is where it can be made to do something, and how long.
_GLANCE_S: Final = 0.002
_GLANCES: Final = 500
# After so many glances a main thread that computes is interrupted where it stands.
_PATIENCE: Final = 20
_REMOTE_S: Final = 30
_SOON_S: Final = 1.0
_BLOCKED_S: Final = 0.1
# x86-64 system calls in which a thread waits for something outside of the process.
_WAITING: Final = frozenset(
    # read, poll, select, accept, recvfrom, recvmsg, pause, nanosleep, wait4, clock_nanosleep,
    # epoll_wait, waitid, pselect6, ppoll, epoll_pwait, accept4, epoll_pwait2; restart_syscall is
    # one of these, or a wait for a lock with a time limit, that we have interrupted before
    (0, 7, 23, 34, 35, 43, 45, 47, 61, 219, 230, 232, 247, 270, 271, 281, 288, 441)
)
_FUTEX: Final = 202
_ROOT: Final = str(Path(giltrace.__file__).parent.parent)


def bring(process: Running, session: Session, deed: Deed) -> None:
    """Make a process do something; returns before it has.

    Raises:
        GiltraceError: it cannot be made to.
    """
    script = _script(session, process.pid, deed)
    if process.version[:2] >= _REMOTE_EXEC:
        _by_remote_exec(process, session, script)
    else:
        _by_injection(process, script)


def patience_s(process: Running) -> float:
    """How long to give a process after `bring`, before it is to be `nudge`d.

    What can run Python at once is there in a moment. Where the main thread is seen to be blocked,
    `sys.remote_exec` may not be heard before something happens to it.
    """
    is_remote = process.version[:2] >= _REMOTE_EXEC
    return _BLOCKED_S if is_remote and process.pid in _look(process.pid)[0] else _SOON_S


def nudge(process: Running, session: Session, deed: Deed) -> None:
    """The other way, where `bring` has come to nothing: the main thread is blocked.

    Raises:
        GiltraceError: that is not possible, either.
    """
    if process.version[:2] >= _REMOTE_EXEC:
        _by_injection(process, _script(session, process.pid, deed))


def _script(session: Session, pid: int, deed: Deed) -> Path:
    """Write what the process is to run."""
    arguments = (str(session.path), _ROOT, __version__) if deed == "enter" else (str(session.path),)
    text = Path(entering.__file__).read_text(encoding="utf-8")
    return session.put(
        f"{pid}.{deed}.{time.monotonic_ns()}.py", f"{text}\n\n{deed}(*{arguments!r})\n"
    )


def _text(script: Path) -> str:
    """A line of Python that runs a script and leaves no name behind, whatever `__main__` holds."""
    body = (
        # Before it lets go of the GIL for the first time: in a busy process that takes long to
        # get back, and the recording may be over by then.
        "import sys\n"
        "known = sys.modules.get('giltrace.runtime.bootstrap')\n"
        "if hasattr(known, 'name_visitor'): known.name_visitor()\n"
        "try:\n"
        f" with open({str(script)!r}, encoding='utf-8') as file: text = file.read()\n"
        "except OSError: text = ''\n"  # nobody waits for it any more
        "exec(text, {'__name__': 'giltrace attach'})\n"
    )
    return f"__import__('builtins').exec({body!r}, {{}})"


def _aside(script: Path) -> str:
    """The same in a thread of its own: what it finds locked, it can wait for."""
    return (
        "__import__('_thread').start_new_thread("
        f"__import__('builtins').exec, ({_text(script)!r}, {{}}))"
    )


def _by_injection(process: Running, script: Path) -> None:
    main = process.pid
    try:
        for glance in range(_GLANCES):
            waiting, blocked = _look(main)
            for tid in waiting:
                if _core.inject(tid, False, _text(script).encode(), process.functions):
                    return
            if (blocked or glance >= _PATIENCE) and _core.inject(
                main, True, _aside(script).encode(), process.functions
            ):
                return
            time.sleep(_GLANCE_S)
    except (FileNotFoundError, ProcessLookupError):
        raise gone(process.pid) from None
    except OSError as error:
        raise not_allowed(process.pid, error) from None
    except _core.TapError as error:
        raise GiltraceError(f"process {process.pid} cannot be attached to: {error}") from None
    raise GiltraceError(
        f"process {process.pid} cannot be attached to: its threads never stay where they are seen",
        "Try again.",
    )


def _look(pid: int) -> tuple[list[int], bool]:
    """Threads that wait for something outside; whether the main one waits for a lock or the GIL."""
    waiting, blocked = [], False
    for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
        try:
            with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as file:
                number = file.read().split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if number.isdigit():
            if int(number) in _WAITING:
                waiting.append(tid)
            blocked |= tid == pid and int(number) == _FUTEX
    return waiting, blocked


def _by_remote_exec(process: Running, session: Session, script: Path) -> None:
    """Only a Python of the same version may do this, so the process's own program does.

    The process opens the file when its main thread comes by, and would raise an exception there if
    it were gone: so it stays for as long as the process does. What it says may be over by then.
    """
    path = session.keep(f"{process.pid}-remote.py", f"{_aside(script)}\n")
    code = f"import sys; sys.remote_exec({process.pid}, {str(path)!r})"
    try:
        done = subprocess.run(
            [f"/proc/{process.pid}/exe", "-I", "-S", "-c", code],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=without_session(os.environ),
            text=True,
            timeout=_REMOTE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GiltraceError(f"process {process.pid} cannot be attached to: {error}") from None
    if done.returncode == 0:
        return
    reason = (done.stderr.strip().splitlines() or ["sys.remote_exec failed"])[-1]
    if reason.startswith("PermissionError"):
        raise not_allowed(process.pid, PermissionError(1, "operation not permitted"))
    raise GiltraceError(
        f"process {process.pid} cannot be attached to: {reason}",
        "It may have been started with PYTHON_DISABLE_REMOTE_DEBUG=1.",
    )
