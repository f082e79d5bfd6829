"""CPython's own tests under `giltrace record`: a short selection of what the tool runs."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.repo
@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("test") is None or find_spec("test.test_thread") is None,
    reason="this Python has no tests",
)
def test_they_come_to_the_same(tmp_path: Path) -> None:
    """Threads, their locks and profile functions: every outcome is the one without giltrace."""
    page = tmp_path / "page.md"
    page.write_text("<!-- cpython-tests: begin -->\n<!-- cpython-tests: end -->\n")
    files = "test_sys_setprofile,test_threading_local"
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "tools" / "cpython_tests.py"), sys.executable),
            *("--tests", files, "--rounds", "2", "--document", str(page)),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = page.read_text().splitlines()[3].split("|")
    assert (row[2].strip(), int(row[3]) > 20, row[7].strip()) == ("2", True, "none")
