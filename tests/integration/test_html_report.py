"""`giltrace report --html` opened for real: in Chromium, from disk, wide and narrow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from giltrace.cli.main import cli
from giltrace.model import load
from giltrace.wording.results import Results
from giltrace.wording.stories import tell
from tests.support.browser import browser, visit
from tests.support.timeline import write_capture

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.repo

SAMPLE = Path(__file__).parents[2] / "sample_runs" / "blocking-1-spin.giltrace"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all of these."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a recorded server in a convoy."""
    return written(SAMPLE, tmp_path_factory.mktemp("page") / "report.html")


def written(capture: Path, page: Path) -> Path:
    """The page of a capture."""
    result = CliRunner().invoke(cli, ["report", str(capture), "--html", str(page)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(f"wrote {page}\n")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_opens_without_a_complaint(
    chromium: Browser, page: Path, width: int, scheme: str
) -> None:
    """No error, no request but its own, no sideways scrolling, the findings in sight."""
    size = {"width": width, "height": 740}
    with visit(chromium, page.as_uri(), viewport=size, color_scheme=scheme) as seen:
        shown = seen.page
        for head in (
            "What is the matter",
            "Timeline",
            "How long waits were",
            "Who waited for whom",
        ):
            assert shown.get_by_role("heading", name=head, exact=True).is_visible()
        results = Results(load(SAMPLE))
        title = tell(results, results.findings[0]).title.replace("`", "")
        assert shown.get_by_role("heading", name=title).is_visible()
        assert shown.get_by_text("cpu-1 in another process").is_visible()
        box = shown.locator("svg").nth(1).bounding_box()
        assert box is not None
        assert box["width"] > width / 2
        wide = shown.evaluate("document.documentElement.scrollWidth")
        ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (seen.trouble, seen.requests) == ([], [page.as_uri()])
    assert wide <= width
    assert ground == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 28)"}[scheme]


def test_it_can_be_used_by_keyboard(chromium: Browser, page: Path) -> None:
    """The first key leads past the navigation, and tables can be scrolled."""
    with visit(chromium, page.as_uri(), viewport={"width": 360, "height": 740}) as seen:
        shown = seen.page
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.textContent") == "Skip to the findings"
        shown.keyboard.press("Enter")
        shown.wait_for_url("**#findings")
        region = shown.get_by_role("region", name="Worst waits")
        region.focus()
        shown.keyboard.press("ArrowRight")
        # Not wait_for_function(): its eval() is what the page forbids.
        deadline_ns = time.monotonic_ns() + 30_000_000_000
        while shown.evaluate("document.activeElement.scrollLeft") == 0:
            assert time.monotonic_ns() < deadline_ns
        assert shown.evaluate("document.activeElement.tabIndex") == 0
    assert seen.trouble == []


def test_hostile_names_are_shown_as_they_are(chromium: Browser, tmp_path: Path) -> None:
    """A thread that is called like a script is called so on the page, and runs nothing."""
    capture = write_capture(
        tmp_path / "x.giltrace",
        f"{HOSTILE}: hold 0-9ms at <img>.py:1 in f check; "
        '"><svg onload=alert(2)>: wait 1-9ms request@6ms hold 9-10ms at b.py:1',
    )
    page = written(capture, tmp_path / "x.html")
    said: list[str] = []
    with visit(chromium, page.as_uri()) as seen:
        seen.page.on("dialog", lambda dialog: said.append(dialog.message))
        seen.page.reload()
        assert seen.page.get_by_text(HOSTILE, exact=True).first.is_visible()
        assert seen.page.locator("script, img, [onload]").count() == 0
    assert (seen.trouble, said) == ([], [])
    assert set(seen.requests) == {page.as_uri()}
