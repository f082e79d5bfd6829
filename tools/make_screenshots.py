#!/usr/bin/env python3
"""Make the pictures of the terminal UI in docs/images anew, from the sample runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "blocking-1-spin"
PICTURES = {
    "tui-overview": (SAMPLE, "120x34", "", ()),
    "tui-wait": (SAMPLE, "120x34", "down,x", ()),
    "tui-narrow": (SAMPLE, "80x24", "down,x", ("--mono",)),
    "tui-light": (SAMPLE, "120x30", "down,s,m,.,.,m,3", ("--theme", "light")),
    "keystroke-before": ("keystroke-1-spin-cpython", "110x22", "", ("--theme", "light")),
    "keystroke-after": ("keystroke-1-spin-auto", "110x22", "", ("--theme", "light")),
}
"""For each picture the sample, its size, the keys pressed before it, and further options."""


def main() -> int:
    """Make all of them."""
    for name, (sample, size, keys, options) in PICTURES.items():
        out = ROOT / "docs" / "images" / f"{name}.svg"
        capture = ROOT / "sample_runs" / f"{sample}.giltrace"
        command = [sys.executable, "-m", "giltrace", "tui", str(capture), "--screenshot", str(out)]
        subprocess.run([*command, "--size", size, "--keys", keys, "--force", *options], check=True)
        print(out.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
