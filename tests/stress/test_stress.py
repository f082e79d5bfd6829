"""A few seconds of stress; ``python -m tests.stress --seconds 600`` is the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.run import MODES, stress


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20, 21], ids=MODES)
def test_everything_at_once(tmp_path: Path, seed: int) -> None:
    """Threads, forks, signals and interpreters: each capture keeps all invariants and counts."""
    stress(tmp_path, seed, seconds=4)
