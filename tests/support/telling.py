"""A trace in the words of a report, as text to compare."""

from __future__ import annotations

from giltrace.model import Trace
from giltrace.wording.opening import notes, scene
from giltrace.wording.results import Results
from giltrace.wording.stories import chief_stories


def opening(trace: Trace) -> str:
    """The first paragraph."""
    return " ".join((*notes(trace), *scene(Results(trace))))


def told(trace: Trace) -> list[str]:
    """Each story told at length: its title and its parts, a line each."""
    chief, _others = chief_stories(Results(trace))
    return [
        line
        for story in chief
        for line in (story.title, *(f"{head}: {text}" for head, text in story.parts))
    ]


def in_short(trace: Trace) -> list[str]:
    """The titles of the stories that are told in a line."""
    return [story.title for story in chief_stories(Results(trace))[1]]
