"""A picture of the screen without a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot

_FONT_FACE: Final = re.compile(r"\s*@font-face\s*\{[^}]*\}")


def screenshot(app: App[Any], size: tuple[int, int], keys: Sequence[str]) -> str:
    """Run an app on a screen that nobody sees, press keys, and return what it shows as SVG.

    Args:
        app: not running yet.
        size: columns and rows.
        keys: names as textual has them (``enter``, ``right``), or single characters; others do
            nothing.
    """
    pictures: list[str] = []

    async def story(pilot: Pilot[Any]) -> None:
        await _settled(pilot)
        for key in keys:
            await pilot.press(_character_to_key(key) if len(key) == 1 else key)
            await _settled(pilot)
        pictures.append(app.export_screenshot(title="giltrace"))
        app.exit()

    app.run(headless=True, size=size, auto_pilot=story)
    if not pictures:
        raise RuntimeError("the screen was not drawn")
    # Whoever looks at a picture should not have to fetch a font from somewhere.
    return _FONT_FACE.sub("", pictures[0])


async def _settled(pilot: Pilot[Any]) -> None:
    """Wait for what goes on in the background."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
