"""Work in the background: its result, its error, and leaving before it is done."""

from __future__ import annotations

import asyncio
import threading

import pytest

from giltrace.tui.background import in_background


def test_the_result_comes_back() -> None:
    """From another thread, which ends with the program."""
    assert asyncio.run(in_background(lambda: threading.current_thread().daemon))


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    """Not in the thread, where nobody would see it."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_background(fail))


def test_nobody_has_to_wait() -> None:
    """Who leaves leaves at once, and the result that comes later is dropped."""
    go_on, started = threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        go_on.wait()
        return 1

    async def leave() -> None:
        task = asyncio.ensure_future(in_background(work))
        await asyncio.sleep(0)
        started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "giltrace-background":
            thread.join()
