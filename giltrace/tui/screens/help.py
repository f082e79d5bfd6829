"""All keys."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from giltrace.tui.bindings import Key

_KEYS: Final = 13
_MOUSE: Final = (
    ("click", "select what matters most in a cell"),
    ("drag", "pan"),
    ("wheel", "zoom where the mouse is; with Shift pan, with Ctrl scroll the lanes"),
    ("overview", "a click or a drag moves the timeline there"),
)


class HelpScreen(ModalScreen[None]):
    """The tables of keys as text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
    ]

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 90%; max-width: 84; height: 90%;
        background: $surface; border: round $accent; padding: 1 2;
    }
    HelpScreen Static { width: 1fr; height: auto; }
    """

    def __init__(self, *tables: dict[str, tuple[Key, ...]]) -> None:
        super().__init__()
        self._tables = tables

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll():
            yield Static(help_text(*self._tables))

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one(VerticalScroll).focus()


def help_text(*tables: dict[str, tuple[Key, ...]]) -> Content:
    """All keys of some tables, and the mouse."""
    lines = []
    for table in tables:
        for group, keys in table.items():
            lines.append(Content.styled(group, "bold $text-accent"))
            lines += [_line(key.shown, key.does) for key in keys]
            lines.append(Content(""))
    lines.append(Content.styled("Mouse", "bold $text-accent"))
    lines += [_line(what, does) for what, does in _MOUSE]
    return Content("\n").join(lines)


def _line(keys: str, does: str) -> Content:
    return Content.assemble((f"{keys:<{_KEYS}}", "bold"), does)
