"""A picture of the screen without a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from textual.app import App
from textual.keys import Keys, _character_to_key
from textual.pilot import Pilot

from giltrace.errors import GiltraceError
from giltrace.tui.bindings import OTHER, PANELS, THREADS, TIMELINE

_FONT_FACE: Final = re.compile(r"\s*@font-face\s*\{[^}]*\}")
_NAMED: Final = {key.value for key in Keys} | {
    name
    for table in (TIMELINE, PANELS, OTHER, THREADS)
    for keys in table.values()
    for key in keys
    for name in key.keys.split(",")
}


def screenshot(app: App[Any], size: tuple[int, int], keys: Sequence[str]) -> str:
    """Run an app on a screen that nobody sees, press keys, and return what it shows as SVG.

    Args:
        app: not running yet.
        size: columns and rows.
        keys: names as textual has them (``enter``, ``right``), or single characters, that are
            known to `check_keys`.
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


def check_keys(keys: Sequence[str]) -> None:
    """See to it that there are such keys.

    Raises:
        GiltraceError: there is no key of such a name.
    """
    for key in keys:
        if len(key) > 1 and key not in _NAMED:
            raise GiltraceError(
                f"there is no key {key!r}",
                "A key is a character, or a name such as enter, right, pageup, tab or comma.",
            )


async def _settled(pilot: Pilot[Any]) -> None:
    """Wait for what goes on in the background."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
