"""The keys: one table, from which screens, help, command palette and documents are made."""

from __future__ import annotations

from typing import Final, NamedTuple

from textual.binding import Binding


class Key(NamedTuple):
    """What a key does.

    Attributes:
        keys: as textual calls them, separated by commas.
        action: of the screen.
        shown: how people call them.
        does: in a few words, as an imperative.
        footer: in one word or two, if it is shown at the bottom of the screen.
    """

    keys: str
    action: str
    shown: str
    does: str
    footer: str = ""


TIMELINE: Final[dict[str, tuple[Key, ...]]] = {
    # First, so that there is room for it in the narrowest footer.
    "Help": (Key("question_mark,f1", "help", "?", "these keys", "help"),),
    "Time": (
        Key("left,h", "step(-1)", "← h", "go an eighth of the screen back"),
        Key("right,l", "step(1)", "→ l", "go an eighth of the screen on"),
        Key("pageup", "page(-1)", "PgUp", "go a screen back"),
        Key("pagedown", "page(1)", "PgDn", "go a screen on"),
        Key("home", "end(True)", "Home", "go to the beginning"),
        Key("end", "end(False)", "End", "go to the end"),
        Key("z", "zoom(True)", "z", "zoom in around the cursor", "zoom"),
        Key("Z", "zoom(False)", "Z", "zoom out around the cursor"),
        Key("e", "zoom_selected", "e", "enlarge the selected interval to the width of the screen"),
        Key("0", "whole", "0", "show all of the recording", "all"),
    ),
    "Lanes": (
        Key("up,k", "lane(-1)", "↑ k", "go to the lane above"),
        Key("down,j", "lane(1)", "↓ j", "go to the lane below"),
        Key("ctrl+up", "lanes(-1)", "Ctrl+↑", "go up by a screen of lanes"),
        Key("ctrl+down", "lanes(1)", "Ctrl+↓", "go down by a screen of lanes"),
        Key("g", "gil", "g", "go to the GIL's lane: jumps are then among all its threads"),
        Key("v", "density", "v", "change the height of lanes"),
    ),
    "Jump": (
        Key("w", "jump('WAIT', False)", "w", "select the next wait", "wait"),
        Key("W", "jump('WAIT', True)", "W", "select the previous wait"),
        Key("x", "jump('LONGEST', False)", "x", "select the longest wait, then others", "longest"),
        Key("X", "jump('LONGEST', True)", "X", "select the next longer wait"),
        Key("s", "jump('STALL', False)", "s", "select the next convoy stall", "stall"),
        Key("S", "jump('STALL', True)", "S", "select the previous convoy stall"),
        Key("o", "jump('HANDOFF', False)", "o", "select the next hold that began with a hand-off"),
        Key("O", "jump('HANDOFF', True)", "O", "select the previous one"),
        Key("f", "jump('FORCED', False)", "f", "select the next hold that was forced to end"),
        Key("F", "jump('FORCED', True)", "F", "select the previous one"),
        Key("full_stop", "neighbour(False)", ".", "select the next interval of the lane"),
        Key("comma", "neighbour(True)", ",", "select the previous interval of the lane"),
    ),
    "Look": (
        Key("enter", "select", "Enter", "select what is at the cursor"),
        Key("a", "follow", "a", "follow the hand-off's arrow to the other thread", "arrow"),
        Key("backspace,b", "back", "Backspace b", "go back to what was selected before"),
        Key("escape", "leave", "Esc", "leave a panel, or select nothing"),
        Key("m", "mark", "m", "set a mark at the cursor: two show the time between", "mark"),
        Key("M", "unmark", "M", "remove the marks"),
        Key("slash", "search", "/", "search a thread, a function or a call", "search"),
        Key("n", "match(False)", "n", "select the next match"),
        Key("N", "match(True)", "N", "select the previous match"),
    ),
}  # fmt: skip

PANELS: Final[dict[str, tuple[Key, ...]]] = {
    "Panels": (
        Key("1", "panel('inspector')", "1", "what is selected"),
        Key("2", "panel('findings')", "2", "findings; Enter goes through their evidence"),
        Key("3", "panel('threads')", "3", "threads; Enter goes to the lane"),
        Key("4", "panel('waits')", "4", "how long waits were, in the lane"),
        Key("tab", "app.focus_next", "Tab", "go to the next panel"),
        Key("p", "panels", "p", "hide the panels, or show them"),
    ),
}  # fmt: skip

LIVE: Final[dict[str, tuple[Key, ...]]] = {
    "While it runs": (
        Key("space", "pause", "Space", "pause to look back over all that is kept; go on", "pause"),
        Key("ctrl+s", "save", "Ctrl+S", "save what is kept as a capture", "save"),
        Key("plus,equals_sign", "priority(1)", "+", "raise this thread's priority", "priority"),
        Key("minus", "priority(-1)", "-", "lower this thread's priority"),
    ),
}  # fmt: skip

OTHER: Final[dict[str, tuple[Key, ...]]] = {
    "Other": (
        Key("c", "app.colours", "c", "colours or characters"),
        Key("ctrl+p", "app.command_palette", "Ctrl+P", "commands by name, themes"),
        Key("q,ctrl+q,ctrl+c", "app.quit", "q", "quit", "quit"),
    ),
}

THREADS: Final[dict[str, tuple[Key, ...]]] = {
    "Threads table": (
        Key("less_than_sign", "sort(-1)", "<", "sort by the column before"),
        Key("greater_than_sign", "sort(1)", ">", "sort by the column behind"),
        Key("r", "reverse", "r", "sort the other way round"),
    ),
}


def bindings(*tables: dict[str, tuple[Key, ...]]) -> list[Binding]:
    """The keys of some tables for textual."""
    return [
        Binding(
            key.keys,
            key.action,
            key.footer or key.does,
            show=bool(key.footer),
            key_display=key.shown.split()[0],
            tooltip=key.does,
        )
        for table in tables
        for keys in table.values()
        for key in keys
    ]
