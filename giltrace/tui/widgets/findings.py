"""What is the matter, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from giltrace.wording.stories import Story


class Findings(Vertical):
    """A list of titles, and the story of the one that is highlighted."""

    DEFAULT_CSS = """
    Findings > OptionList { height: auto; max-height: 50%; padding: 0; }
    Findings > OptionList, Findings > OptionList:focus { border: none; background: transparent; }
    Findings > VerticalScroll { height: 1fr; padding: 0 1; }
    Findings Static { width: 1fr; height: auto; }
    """

    @dataclass
    class Chosen(Message):
        """A finding was chosen; again and again, to see all of its evidence."""

        number: int

    def __init__(self) -> None:
        super().__init__()
        self._stories: list[Story] = []

    def compose(self) -> ComposeResult:
        """Titles above, one story below."""
        yield OptionList(Option(Content("looking …"), disabled=True))
        with VerticalScroll(can_focus=False):
            yield Static()

    def tell(self, stories: Sequence[Story], notes: Sequence[str]) -> None:
        """Show these stories, the most important first; notes are about the recording itself."""
        self._stories = list(stories)
        options = self.query_one(OptionList)
        options.clear_options()
        for note in notes:
            text = Content.assemble(("! ", "$text-warning"), note)
            options.add_option(Option(text, disabled=True))
        for number, story in enumerate(stories):
            options.add_option(Option(_named(story.title), id=str(number)))
        if not stories:
            options.add_option(Option(Content("There is nothing to explain."), disabled=True))
        else:
            options.highlighted = len(notes)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell its story."""
        event.stop()
        if event.option_id is not None:
            story = self._stories[int(event.option_id)]
            self.query_one(Static).update(_story(story))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show where it can be seen."""
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(int(event.option_id)))


def _story(story: Story) -> Content:
    parts = [
        Content.assemble((f"{head}  ", "bold $text-accent"), _named(text))
        for head, text in story.parts
    ]
    return Content("\n").join(parts)


def _named(text: str) -> Content:
    """A sentence with what is between backticks, which are names, in bold instead."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return Content(text)
    return Content.assemble(*(
        (piece, "bold") if number % 2 else piece for number, piece in enumerate(pieces)
    ))  # fmt: skip
