"""The application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme

from giltrace.errors import GiltraceError
from giltrace.tui.bindings import PANELS, TIMELINE
from giltrace.tui.palette import DARK, LIGHT, MONO, Palette
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


class GiltraceApp(App[None]):
    """Shows one recording."""

    TITLE = "giltrace"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, source: TraceSource, name: str, *, theme: str, mono: bool = False) -> None:
        """Take what to show.

        Args:
            source: the recording.
            name: what it is called; safe to show.
            theme: of textual.
            mono: characters instead of colours.
        """
        super().__init__()
        self._source = source
        self._called = name
        self._mono = mono or self.no_color
        self.theme = theme

    def on_mount(self) -> None:
        """Show it."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self.push_screen(RecordingScreen(self._source, self._called, self.palette))

    @property
    def palette(self) -> Palette:
        """The colours that go with the theme."""
        if self._mono:
            return MONO
        return DARK if self.current_theme.dark else LIGHT

    def action_colours(self) -> None:
        """Colours or characters."""
        self._mono = not self._mono
        self._repaint()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key has a command."""
        yield from super().get_system_commands(screen)
        for table in (TIMELINE, PANELS):
            for group, keys in table.items():
                for key in keys:
                    name = f"{group}: {key.does}"
                    yield SystemCommand(name, f"key {key.shown}", self._run(key.action))

    def _run(self, action: str) -> Any:
        async def run() -> None:
            await self.screen.run_action(action)

        return run

    def _theme_changed(self, _theme: Theme) -> None:
        self._repaint()

    def _repaint(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, RecordingScreen):
                screen.paint_with(self.palette)
