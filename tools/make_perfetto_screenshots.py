#!/usr/bin/env python3
"""Make the pictures of the Perfetto UI in docs/images anew, from a capture in sample_runs.

Needs the extras ``dev`` and a Chromium.  usage: .venv/bin/python tools/make_perfetto_screenshots.py
"""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from giltrace.export.registry import create  # noqa: E402 - from this tree
from giltrace.model.builder import load  # noqa: E402
from giltrace.model.trace import Trace  # noqa: E402
from giltrace.viewer import bundle  # noqa: E402
from giltrace.viewer.server import Server, Show  # noqa: E402
from tests.support.browser import browser, visit  # noqa: E402

CAPTURE = ROOT / "sample_runs" / "blocking-1-spin.giltrace"
IMAGES = ROOT / "docs" / "images"
SIZES = {"convoy.png": {"width": 1200, "height": 900}, "stall.png": {"width": 1200, "height": 640}}
LARGEST = 300_000
MS = 1_000_000


def main() -> int:
    """Make both pictures; say how large they are."""
    trace = load(CAPTURE)
    out = io.BytesIO()
    create("perfetto").write(trace, out)
    server = Server(Show(out.getvalue(), CAPTURE.name, bundle.require("the UI").root))
    threading.Thread(target=server.run, daemon=True).start()
    IMAGES.mkdir(exist_ok=True)
    start, end = message(trace)
    shots = {
        "convoy.png": server.ui_url,
        "stall.png": f"{server.ui_url}&visStart={start}&visEnd={end}",
    }
    total = 0
    with browser() as chromium:
        for name, url in shots.items():
            path = IMAGES / name
            with visit(chromium, url, viewport=SIZES[name]) as seen:
                page = seen.page
                page.wait_for_function("window.app && window.app.trace", timeout=90_000)
                page.evaluate("() => window.waitForPerfettoIdle(1000)")
                if name == "stall.png":  # the table is in the other one
                    page.get_by_text("keyboard_arrow_down").last.click()
                    page.evaluate("() => window.waitForPerfettoIdle(1000)")
                page.screenshot(path=path)
            total += path.stat().st_size
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    server.done.set()
    return 0 if total < LARGEST else 1


def message(trace: Trace) -> tuple[int, int]:
    """The time of one message: two waits of the server's thread in the middle of the recording."""
    waits, holds = trace.waits, trace.holds
    stalled = np.flatnonzero((waits.requests > 0) & (waits.end - waits.start < 6 * MS))
    middle = int(stalled[len(stalled) // 2])
    assert holds.thread[waits.hold[middle]] == waits.thread[middle]
    return int(waits.start[middle]) - 2 * MS, int(waits.end[middle]) + 9 * MS


if __name__ == "__main__":
    raise SystemExit(main())
