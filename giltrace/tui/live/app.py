"""The live view as an application."""

from __future__ import annotations

from giltrace.errors import GiltraceError
from giltrace.record.live import Watched
from giltrace.tui.base import TimelineApp
from giltrace.tui.live.screen import LiveScreen


class LiveApp(TimelineApp):
    """Shows a recording while it is made."""

    def __init__(self, watched: Watched, *, theme: str, mono: bool = False, seconds: float) -> None:
        """Take what to look at.

        Args:
            watched: the recording.
            theme: of textual.
            mono: characters instead of colours.
            seconds: how far back one can look.
        """
        super().__init__(theme=theme, mono=mono)
        self.view = LiveScreen(watched, self.palette, seconds=seconds)

    def on_mount(self) -> None:
        """Begin to follow."""
        self.push_screen(self.view)
        self.set_interval(0.5, self._watch_feed)

    def end(self) -> None:
        """Stop following; after the screen has gone."""
        self.view.feed.stop()

    def _watch_feed(self) -> None:
        if self.failure is not None:
            self.exit()

    @property
    def failure(self) -> GiltraceError | None:
        """Why there is nothing more to follow."""
        return self.view.feed.failure
