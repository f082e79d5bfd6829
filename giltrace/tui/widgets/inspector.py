"""All there is to say about the selected interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from giltrace.tui.source import Details
from giltrace.wording.human import duration

_LABEL: Final = 13
_HINT: Final = (
    "Nothing is selected. Press w for the next wait, x for the longest one, Enter for what is at "
    "the cursor, or click on a lane. The keys are under ?."
)


class Inspector(VerticalScroll):
    """Shows `Details`, or what to do to see some."""

    DEFAULT_CSS = """
    Inspector { padding: 0 1; }
    Inspector > Static { width: 1fr; height: auto; }
    """

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(_HINT)

    def tell(self, details: Details | None, hint: str = "") -> None:
        """Show something else; ``hint`` if there is nothing."""
        content = Content(hint or _HINT) if details is None else content_of(details)
        self.query_one(Static).update(content)
        self.scroll_home(animate=False)


def content_of(details: Details) -> Content:
    """The details as styled text, line by line. Nothing in it is read as markup."""
    return Content("\n").join(_lines(details))


def _lines(details: Details) -> Iterator[Content]:
    yield Content.styled(details.title, "bold")
    # What explains most comes first: there may be room for a few lines only.
    if details.is_wait:
        yield from _parts(details)
        yield from _code(details)
        yield from _facts(details)
    else:
        yield from _facts(details)
        yield from _code(details)
        yield from _parts(details)


def _facts(details: Details) -> Iterator[Content]:
    for label, text in details.facts:
        yield Content.assemble((f"{label:<{_LABEL}}", "$text-muted"), text)


def _parts(details: Details) -> Iterator[Content]:
    if not details.parts:
        return
    yield Content.styled(details.parts_title, "$text-accent")
    for part in details.parts:
        yield Content.assemble(
            f"{duration(part.ns):>9}",
            (f" {part.share:>6}  ", "$text-muted"),
            (part.label, "bold"),
            f" at {part.where}" if part.where else "",
        )
    if details.more:
        yield Content.styled(f"and {details.more:,} more", "$text-muted")


def _code(details: Details) -> Iterator[Content]:
    if not details.code:
        return
    yield Content.styled(details.code_title, "$text-accent")
    for line in details.code:
        text = f"{'❱' if line.is_it else ' '}{line.number:>5} {line.text}"
        yield Content.styled(text, "bold" if line.is_it else "$text-muted")
