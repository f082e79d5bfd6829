"""What every application with a timeline has: themes, colours or characters, commands by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.theme import Theme

from giltrace.tui.palette import DARK, LIGHT, MONO, Palette
from giltrace.tui.screens.timeline import TimelineScreen


class TimelineApp(App[None]):
    """An application whose screens are `TimelineScreen`s."""

    TITLE = "giltrace"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, *, theme: str, mono: bool = False) -> None:
        """Prepare.

        Args:
            theme: of textual.
            mono: characters instead of colours.
        """
        super().__init__()
        self._mono = mono or self.no_color
        self.theme = theme

    def on_mount(self) -> None:
        """Follow the theme."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)

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
        tables = screen.NAMED if isinstance(screen, TimelineScreen) else ()
        for table in tables:
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
            if isinstance(screen, TimelineScreen):
                screen.paint_with(self.palette)
