"""The application."""

from __future__ import annotations

from typing import Final

from textual.theme import BUILTIN_THEMES

from giltrace.errors import GiltraceError
from giltrace.tui.base import TimelineApp
from giltrace.tui.screens.recording import RecordingScreen
from giltrace.tui.terminal import is_light
from giltrace.tui.trace_source import TraceSource

_OWN: Final = {"dark": "textual-dark", "light": "textual-light"}


def theme_named(name: str, *, asking: bool) -> str:
    """The theme of a name, as textual calls it.

    Args:
        name: ``auto``, ``terminal``, ``dark``, ``light`` or a theme of textual's.
        asking: for ``auto``, ask the terminal.

    Raises:
        GiltraceError: there is none of that name.
    """
    if name in {"auto", "terminal"}:
        light = is_light(asking=asking)
        if name == "terminal":
            own = "ansi-light" if light else "ansi-dark"
            return own if own in BUILTIN_THEMES else "textual-ansi"  # one for both, in 8.2.0
        return _OWN["light" if light else "dark"]
    if name in _OWN:
        return _OWN[name]
    if name not in BUILTIN_THEMES:
        known = ", ".join(["auto", "terminal", *_OWN, *sorted(BUILTIN_THEMES)])
        raise GiltraceError(f"there is no theme {name!r}", f"Choose one of {known}.")
    return name


class GiltraceApp(TimelineApp):
    """Shows one recording."""

    def __init__(self, source: TraceSource, name: str, *, theme: str, mono: bool = False) -> None:
        """Take what to show.

        Args:
            source: the recording.
            name: what it is called; safe to show.
            theme: of textual.
            mono: characters instead of colours.
        """
        super().__init__(theme=theme, mono=mono)
        self._source = source
        self._called = name

    def on_mount(self) -> None:
        """Show it."""
        self.push_screen(RecordingScreen(self._source, self._called, self.palette))
