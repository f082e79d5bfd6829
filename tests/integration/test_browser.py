"""The browser of the tests sees what a page does wrong: else no page could be said to be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import browser, visit

pytestmark = pytest.mark.repo

BAD: str = """<!DOCTYPE html><title>bad</title><p>text</p>
<img src="missing.png" alt="">
<script>console.error("complaint"); throw new Error("uncaught")</script>
"""


def test_a_page_that_misbehaves_is_caught(tmp_path: Path) -> None:
    """Complaints, exceptions and requests are all on record; a good page has none."""
    bad, good = tmp_path / "bad.html", tmp_path / "good.html"
    bad.write_text(BAD)
    good.write_text("<!DOCTYPE html><title>good</title><p>text</p>")
    with browser() as chromium:
        with visit(chromium, bad.as_uri()) as seen:
            assert seen.page.get_by_text("text").count() == 1
        assert len(seen.requests) == 2
        assert {"complaint", "uncaught"} <= set(seen.trouble)
        assert any("missing.png" in problem for problem in seen.trouble)
        with visit(chromium, good.as_uri()) as seen:
            assert seen.page.title() == "good"
        assert (seen.requests, seen.trouble) == ([good.as_uri()], [])
