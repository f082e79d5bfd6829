#!/usr/bin/env python3
"""Make the pictures of the terminal UI in docs/images anew, from the sample runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_runs" / "blocking-1-spin.giltrace"
PICTURES = {
    "tui-overview": ("120x34", "", ()),
    "tui-wait": ("120x34", "down,x", ()),
    "tui-narrow": ("80x24", "down,x", ("--mono",)),
    "tui-light": ("120x30", "down,s,m,.,.,m,3", ("--theme", "light")),
}
"""For each picture its size, the keys pressed before it, and further options."""


def main() -> int:
    """Make all of them."""
    for name, (size, keys, options) in PICTURES.items():
        out = ROOT / "docs" / "images" / f"{name}.svg"
        command = [sys.executable, "-m", "giltrace", "tui", str(SAMPLE), "--screenshot", str(out)]
        subprocess.run([*command, "--size", size, "--keys", keys, "--force", *options], check=True)
        print(out.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
