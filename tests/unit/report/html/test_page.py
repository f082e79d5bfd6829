"""The page: one file, nothing loaded, nothing run, everything escaped."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from giltrace.model import Trace, build
from giltrace.report.html.page import render
from giltrace.wording.results import Results
from giltrace.wording.stories import tell
from tests.support import hostile, stories
from tests.support.synthetic import synthetic
from tests.support.timeline import recording, timeline

CONVOY = timeline(stories.convoy())
VOID = {"meta", "link", "br", "img", "input", "hr"}

SVG_ATTRIBUTES = {
    "d", "x", "y", "width", "height", "viewbox", "preserveaspectratio", "class", "role", "id",
    "aria-label", "aria-hidden", "aria-labelledby", "href", "scope", "tabindex", "lang", "charset",
    "name", "content", "http-equiv",
}  # fmt: skip


class Outline(HTMLParser):
    """What is in a page: its elements, well nested, their attributes, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without contents."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Some text."""
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def hostile_trace() -> Trace:
    """Threads, a program and places with names that would do harm."""
    made = recording("first: hold 0-1ms at a.py:1 in f")
    process = made.processes[0]
    t = 2_000_000
    for number, name in enumerate(hostile.NAMES):
        thread = process.thread(f"{name}")
        process.acquire(thread, t, 2 + number)
        process.release(thread, t + 1_000_000)
        t += 2_000_000
    process.end_ns = t
    return build(made.capture())


def test_findings_remedies_and_tables_are_there() -> None:
    """All that the report says in words and numbers is on the page."""
    page = Outline(render(CONVOY))
    results = Results(CONVOY)
    text = " ".join(page.text.split())
    for finding in results.findings:
        story = tell(results, finding)
        for part in (story.title, *(part for _, part in story.parts)):
            assert part.replace("`", "") in text
    for words in (
        "predicted for each of 2 iterations of MainThread",
        "Thread-1 in another process",
        "5 ms – 10 ms",
        "Worst waits",
        "Blame: who waited for whom",
        "load.py:12 in spin",
    ):
        assert words in text


def test_nothing_is_loaded_and_nothing_runs() -> None:
    """The policy forbids everything but the style sheet, whose hash it has; nothing needs more."""
    page = render(CONVOY)
    outline = Outline(page)
    (policy,) = (meta["content"] for meta in outline.all("meta") if meta.get("http-equiv"))
    css = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    tags = {tag for tag, _ in outline.tags}
    assert not tags & {"script", "iframe", "object", "embed", "img", "link", "form", "base"}
    used = {name for _, attributes in outline.tags for name in attributes}
    assert used <= SVG_ATTRIBUTES
    assert all(str(link["href"]).startswith("#") for link in outline.all("a"))
    assert not re.search(r"url\(|@import|https?:", page)


def test_links_lead_somewhere() -> None:
    """Each link of the navigation has its section, for a trace of any kind."""
    for trace in (CONVOY, timeline(stories.HEALTHY), timeline(stories.EMPTY)):
        outline = Outline(render(trace))
        ids = {attributes.get("id") for _, attributes in outline.tags}
        assert {str(link["href"])[1:] for link in outline.all("a")} <= ids


def test_it_can_be_read_without_seeing_it() -> None:
    """Headings descend by one, tables have captions and heads, pictures have words."""
    outline = Outline(render(CONVOY))
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(outline.all("table")) == len(outline.all("caption"))
    assert all(head["scope"] in ("col", "row") for head in outline.all("th"))
    for picture in outline.all("svg"):
        assert picture.get("aria-label") or picture.get("aria-hidden") == "true"
    assert [html["lang"] for html in outline.all("html")] == ["en"]
    for region in (div for div in outline.all("div") if div.get("class") == "scroll"):
        assert region["tabindex"] == "0"
        assert region["aria-label"]


def test_hostile_names_are_text() -> None:
    """Markup in a name is shown, not obeyed, and the page can be written as UTF-8."""
    trace = hostile_trace()
    page = render(trace, top=100)
    outline = Outline(page)
    assert "<script>alert(1)</script>" in outline.text
    assert "<script>" not in page
    assert outline.text.count("[red]markup[/red]") >= 1
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e]", page)


def test_markup_in_the_program_and_the_notes() -> None:
    """So is what stands in the command line and in the name of a file."""
    made = recording("t: hold 0-1ms at <b>x.py:1 in f; io: wait 0.1-1ms hold 1-2ms")
    made.session.argv[:] = ["</title><script>alert(1)</script>", '"><img src=x onerror=alert(1)>']
    outline = Outline(render(build(made.capture())))
    assert not {tag for tag, _ in outline.tags} & {"script", "img", "b"}
    assert "alert(1)" in outline.text
    assert "<b>x.py:1 in f" in outline.text


@pytest.mark.parametrize(
    "text", [stories.EMPTY, stories.NO_GIL, stories.LOST, stories.UNFINISHED, stories.ONE_THREAD]
)
def test_a_page_of_little(text: str) -> None:
    """Where there is nothing to draw, the words are there."""
    trace = timeline(text)
    outline = Outline(render(trace))
    assert "What is the matter" in outline.text
    for note in trace.notes:
        assert note in unescape(outline.text)


def test_the_page_of_a_long_recording_is_small() -> None:
    """Its size is that of what is shown, not of what was recorded."""
    small = len(render(build(synthetic(20_000))))
    large = len(render(build(synthetic(200_000))))
    assert large < 1.3 * small
    assert large < 500_000


def test_text_has_contrast() -> None:
    """4.5 to 1 at least, on every background that text stands on, by day and by night."""
    css = files("giltrace.report.html").joinpath("page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        pairs = [
            *((ink, ground) for ink in ("ink", "faint", "link") for ground in ("page", "card")),
            *((ink, "card") for ink in ("bad", "good", "mild")),
            ("ink", "code"), ("ink", "soft"), ("bad", "bad-soft"), ("good", "good-soft"),
            ("ink", "good-soft"), ("good", "page"), ("faint", "soft"),
        ]  # fmt: skip
        for ink, ground in pairs:
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
