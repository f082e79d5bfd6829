"""One load thread in a process of its own.

    python -m giltrace.scenarios.burn KIND [SECONDS]

runs until stdin ends, or for that long at most. It prints an empty line once the thread runs, and
the progress of the thread as JSON at the end.
"""

from __future__ import annotations

import sys
import threading

from giltrace.scenarios.children import tell_parent, when_stdin_ends
from giltrace.scenarios.load import Threads


def main(kind: str, seconds: float | None = None) -> None:
    """Run the load; see the module."""
    ended = threading.Event()
    when_stdin_ends(ended.set)
    threads = Threads(kind, 1)
    print(flush=True)
    ended.wait(seconds)
    threads.stop()
    tell_parent({"samples": threads.progress[0].samples})


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
