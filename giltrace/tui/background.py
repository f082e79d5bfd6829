"""Work that takes long, without anybody having to wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


async def in_background(work: Callable[[], _T]) -> _T:
    """What ``work`` returns or raises, from a thread that does not keep the program from ending.

    A thread of asyncio's would: whoever quits while ten million events are being analysed would sit
    in front of a terminal that does nothing. If nobody waits any more, the result is dropped.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def finish(result: _T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as problem:  # noqa: BLE001 - it is raised where it is waited for
            error = problem
        with suppress(RuntimeError):  # the loop may have ended
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, name="giltrace-background", daemon=True).start()
    return await done
