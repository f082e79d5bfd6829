"""Asking for a thread, a function or a call by name."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from giltrace.tui.source import Hit, Source

_HITS: Final = 50


class SearchScreen(ModalScreen[Hit | None]):
    """A line to type in, and what there is of that name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "back"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    DEFAULT_CSS = """
    SearchScreen { align: center top; }
    SearchScreen > Vertical {
        width: 80%; max-width: 90; height: auto; max-height: 80%; margin-top: 2;
        background: $surface; border: round $accent; padding: 0 1;
    }
    SearchScreen Input, SearchScreen Input:focus { border: none; height: 1; padding: 0; }
    SearchScreen OptionList { height: auto; max-height: 16; padding: 0; }
    SearchScreen OptionList, SearchScreen OptionList:focus { border: none; }
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._hits: list[Hit] = []

    def compose(self) -> ComposeResult:
        """The line above, what was found below."""
        with Vertical():
            yield Input(placeholder="thread, function or call")
            yield OptionList()

    def on_mount(self) -> None:
        """All of them, to begin with."""
        self._search("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while one types."""
        event.stop()
        self._search(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the best one."""
        event.stop()
        if self._hits:
            self.dismiss(self._hits[0])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take that one."""
        event.stop()
        if event.option_id is not None:
            self.dismiss(self._hits[int(event.option_id)])

    def _search(self, text: str) -> None:
        self._hits = self._source.search(text.strip(), _HITS)
        options = self.query_one(OptionList)
        options.clear_options()
        if not self._hits:
            options.add_option(Option(Content("nothing of that name"), disabled=True))
        for number, hit in enumerate(self._hits):
            line = Content.assemble(
                (f"{hit.kind:<9}", "$text-muted"),
                (hit.label, "bold"),
                (f"  {hit.note}", "$text-muted"),
            )
            options.add_option(Option(line, id=str(number)))
