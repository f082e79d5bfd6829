"""``python -m giltrace``."""

from __future__ import annotations

from giltrace.cli.main import main

if __name__ == "__main__":
    main()
