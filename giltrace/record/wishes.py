"""Giving a thread of a running program a priority, from another process than its recorder.

Who looks at a recording leaves a wish in the session's folder; the recorder, which has the
program's arena mapped, passes it on and leaves an answer.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from giltrace.errors import GiltraceError
from giltrace.record import guarded
from giltrace.record.drain import ProcessDrain
from giltrace.record.portable import PortableDrain
from giltrace.record.session import Session, session_of

PRIORITIES: Final = range(-(1 << 31), 1 << 31)
_NUMBERS: Final = itertools.count(1)
# A recorder comes by twenty times a second, unless it is at its end.
_ANSWER_S: Final = 5.0
_LOOK_S: Final = 0.005
_MOST_AT_ONCE: Final = 16


def wish(recorder: int, pid: int, tid: int, priority: int) -> None:
    """Have a thread be given a priority; returns once its process has been asked.

    The process does so when a thread of its next takes the GIL or waits for it, and from then on
    the capture says so.

    Args:
        recorder: process id of the recorder.
        pid: a process that it records.
        tid: native id of a thread of that process.
        priority: any of `PRIORITIES`.

    Raises:
        GiltraceError: there is no such thread, or its process knows no priorities.
    """
    session = session_of(recorder)
    name = f"{os.getpid()}-{next(_NUMBERS)}"
    try:
        # Under another name at first: what is there is whole.
        session.put(f"{name}.part", f"{pid} {tid} {priority}\n").rename(
            session.path / f"{name}.wish"
        )
        message, hint = json.loads(_answer(session, f"{name}.answer"))
    except (OSError, ValueError):
        raise GiltraceError("the recorder does not answer", "It may be at its end.") from None
    if message:
        raise GiltraceError(message, hint)


def _answer(session: Session, name: str) -> str:
    path, deadline = session.path / name, time.monotonic() + _ANSWER_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_LOOK_S)
    text = guarded.read_text(path)
    path.unlink()
    return text


def grant(session: Session, drains: Iterable[ProcessDrain | PortableDrain]) -> None:
    """Pass on what has been wished for in a session, and answer."""
    for path in itertools.islice(session.wishes(), _MOST_AT_ONCE):
        answer = ["", ""]
        try:
            _pass_on(guarded.read_text(path), drains)
        except GiltraceError as error:
            answer = [error.message, error.hint]
        except (OSError, ValueError):
            answer = ["that is no wish", ""]
        with suppress(OSError):  # nobody waits for it any more
            path.unlink()
            part = session.put(f"{path.stem}.said", json.dumps(answer))
            part.rename(path.with_suffix(".answer"))


def _pass_on(text: str, drains: Iterable[ProcessDrain | PortableDrain]) -> None:
    pid, tid, priority = map(int, text.split())
    drain = next((one for one in drains if one.pid == pid), None)
    if drain is None:
        raise GiltraceError(f"process {pid} is not recorded any more")
    if isinstance(drain, PortableDrain):
        raise GiltraceError(
            f"process {pid} has no priorities: its hand-offs are inferred, not seen",
            "They need a CPython whose GIL can be tapped; see: giltrace doctor",
        )
    if priority not in PRIORITIES:
        raise GiltraceError(f"a priority is a 32-bit integer, not {priority}")
    drain.wish(tid, priority)
