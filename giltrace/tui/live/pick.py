"""Picking one of the recordings that are under way."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.widgets import Footer, Label, OptionList
from textual.widgets.option_list import Option

from giltrace.model.text import printable
from giltrace.record.session import Followed


class PickApp(App[Followed]):
    """A list; returns what was chosen, or None."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [("q,escape", "quit", "Quit")]  # noqa: RUF012 - as Textual wants it

    def __init__(self, recordings: Sequence[Followed]) -> None:
        super().__init__()
        self._recordings = recordings

    def compose(self) -> ComposeResult:
        """The question, and the answers."""
        yield Label("Which recording?", markup=False)
        yield OptionList(
            *(Option(_line(one), id=str(i)) for i, one in enumerate(self._recordings)),
            markup=False,
        )
        yield Footer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """That one."""
        self.exit(self._recordings[event.option_index])


def _line(one: Followed) -> str:
    processes = ", ".join(map(str, one.processes)) or "none yet"
    return f"{printable(str(one.capture))}  processes: {processes}  recorder: {one.recorder}"
