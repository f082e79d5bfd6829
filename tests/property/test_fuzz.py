"""A moment of `tools/fuzz_capture.py`, whose long runs look for what no capture may do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.repo
@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 8])
def test_hostile_captures_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever is in one: a clear refusal, or a sound trace with all its reports and exports."""
    fuzzer = [sys.executable, str(ROOT / "tools" / "fuzz_capture.py"), "--keep", str(tmp_path)]
    # Among these inputs were a thread that held and waited at once, and a sample of before time 0.
    done = subprocess.run(
        [*fuzzer, "--seed", str(seed), "--count", "60", "--whole-every", "4"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("60 inputs")
