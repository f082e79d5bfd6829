"""A prompt in a terminal, the talk's IDLE: ``keystroke``.

    python -m giltrace.scenarios.keystroke

runs it in the terminal at hand, beside a thread that computes: type, and see it lag. Under
``giltrace run -m giltrace.scenarios.keystroke`` it does not. Ctrl-D ends it.
"""

from __future__ import annotations

import os
import sys

from giltrace.scenarios import load as loads
from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.server import Server
from giltrace.scenarios.wire import DRAWN, END

_INTERRUPT = b"\x03"
_COLUMNS = 60


class KeystrokeServer(Server):
    """Shows what is typed, as an editor or a REPL does.

    A request is one key, whatever the size of its message; the reply is the line with it. They go
    through a pseudo-terminal, of which the client has the other end.
    """

    name = "keystroke"
    transport = "terminal"

    def __init__(self) -> None:
        self._ends: tuple[int, ...] = ()
        if not hasattr(os, "openpty"):
            raise ScenarioError(
                "there are no pseudo-terminals on this system", "Run another scenario."
            )

    def open(self) -> str:
        """Make a terminal that passes on what is written as it is; return its name."""
        import tty

        self._ends = os.openpty()
        tty.setraw(self._ends[1])  # kept open: a client that comes late finds what was written
        return os.ttyname(self._ends[1])

    def serve(self) -> None:
        """Show what is typed, until Ctrl-D is."""
        prompt(self._ends[0], self._ends[0])

    def close(self) -> None:
        """Let go of both ends."""
        for end in self._ends:
            os.close(end)
        self._ends = ()


def prompt(source: int, sink: int) -> None:
    """Read keys, and show the line after each; until Ctrl-D, Ctrl-C, or the end of the input.

    A key costs three calls that let go of the GIL: read it, clear the line, write it anew.

    Args:
        source: File descriptor of the keys.
        sink: File descriptor of the screen.
    """
    line = ""
    while True:
        key = os.read(source, 1)
        if key in (END, _INTERRUPT, b""):
            return
        line = (line + key.decode("latin-1"))[-_COLUMNS:]
        os.write(sink, b"\r\x1b[K> ")
        os.write(sink, "".join(c.upper() for c in line if c.isprintable()).encode() + DRAWN)


def main() -> int:
    """Run it in this terminal, beside a CPU thread; return its exit status."""
    if not sys.stdin.isatty():
        sys.stderr.write("giltrace: the keystroke scenario wants a terminal to type in\n")
        return 1
    import termios
    import tty

    sys.stdout.write("Type. A thread computes meanwhile. Ctrl-D ends.\n")
    sys.stdout.flush()
    before = termios.tcgetattr(0)
    load = loads.start("spin", 1)
    try:
        tty.setraw(0)
        prompt(0, 1)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        load.stop()
        sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
