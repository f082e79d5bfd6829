"""``python -m giltrace``, and the console script."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Run the command line and exit. Ctrl-C ends it in one line also while it is being imported."""
    try:
        from giltrace.cli.main import main
    except KeyboardInterrupt:
        sys.stderr.write("giltrace: interrupted\n")
        os._exit(130)  # what is half imported has nothing to say
    main()


if __name__ == "__main__":
    run()
