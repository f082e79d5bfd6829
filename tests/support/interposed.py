"""Code whose calls are recorded, in an interpreter of its own."""

from __future__ import annotations

from pathlib import Path

from tests.support.python import run_python

PRELUDE = """
import os, socket, sys, threading, time
from giltrace import _core
from giltrace.runtime import calls
from tests.support.events import drained

path = sys.argv[1]

class Recorded:
    def __enter__(self):
        calls.watch()
        _core.start(path, b"{}")
        self.reader = _core.ArenaReader(path)
        return self

    def __exit__(self, *exc):
        _core.stop()
        calls.unwatch()
        self.events = drained(self.reader)
        rows = self.reader.codes()
        self.names = {row[1]: row[4].decode() for row in rows if row[0]}
        self.codes = {row[1]: row[4].decode() for row in rows if not row[0]}
        os.unlink(path)

    def calls(self, function):
        "The names of the calls in which a Python function let the GIL go, in order; None: unknown."
        return [
            self.names.get(e.payload >> 32)
            for e in self.events
            if e.kind == "release" and self.codes.get(e.payload & 0xFFFF) == function
            and not e.flags & 1
        ]
"""


def run(code: str, tmp_path: Path) -> str:
    """Run ``code`` after PRELUDE; returns its output."""
    return run_python(PRELUDE + "\n" + code, tmp_path / "arena").stdout
