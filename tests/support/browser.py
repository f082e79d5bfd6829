"""The system's Chromium, driven by Playwright, with its eyes open: pages that complain are caught.

    with browser() as chromium, visit(chromium, "file:///…") as seen:
        seen.page.get_by_text("…").wait_for()
    assert seen.trouble == []

Nothing is downloaded. Without a Chromium, or without Playwright, a test is skipped and says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Visit:
    """One page, and what it did.

    Attributes:
        page: Playwright's page.
        requests: every address it asked for, its own first.
        trouble: errors and warnings of the console, uncaught exceptions, failed requests.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium without a window; skip the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(NAMES)} was found")
    # Its sandbox refuses to run as root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def visit(chromium: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Open a page in a context of its own and watch it.

    Args:
        chromium: from `browser`.
        url: where to go.
        options: what ``Browser.new_context`` takes: ``viewport``, ``color_scheme``, …
    """
    context = chromium.new_context(**options)
    try:
        seen = Visit(context.new_page())
        page = seen.page
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("requestfailed", lambda request: seen.trouble.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: seen.trouble.append(str(error)))
        page.on(
            "console",
            lambda said: (
                seen.trouble.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        page.goto(url)
        yield seen
    finally:
        context.close()
