"""Apps without a terminal: run one, and read what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from textual.app import App
from textual.pilot import Pilot

_App = TypeVar("_App", bound=App[Any])


def drive(app: _App, story: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int]) -> _App:
    """Run an app on a screen of a size, let a story happen to it, and end it."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(pilot)

    asyncio.run(run())
    return app


def text(app: App[Any]) -> str:
    """What is on the screen, row by row, without trailing blanks."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    rows = ["".join(segment.text for segment in strip)[:width].rstrip() for strip in strips]
    return "\n".join(rows[:height])
