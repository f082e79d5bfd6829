"""Code under a policy, in an interpreter of its own.

Several tests set a switch interval of many seconds: what then comes to an end within the test's own
time limit cannot have waited for it, on a machine however slow or busy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.python import run_python

PRELUDE = """
import ctypes, os, sys, threading, time
from collections import defaultdict
import giltrace
from giltrace import _core
from tests.support.events import drained

path = sys.argv[1]
cycle = ctypes.CDLL(None).getppid  # ctypes lets the GIL go around each call: one cycle, no more
done = False

def spin(priority=0):
    if priority:
        giltrace.set_priority(priority)
    while not done:
        pass

def run(*threads, join=True):
    threads = [threading.Thread(target=t[0], args=t[1:]) if isinstance(t, tuple) else
               threading.Thread(target=t) for t in threads]
    for t in threads: t.start()
    if join:
        for t in threads: t.join()
    return threads

class Recorded:
    # The events of the block, and how long each thread held the GIL, by its id.
    def __enter__(self):
        _core.start(path, b"{}", chunks=8192)
        self.reader = _core.ArenaReader(path)
        return self
    def __exit__(self, *_):
        _core.stop()
        os.unlink(path)
        self.tids = {row[0]: row[2] for row in self.reader.threads()}
        events = [e for e in drained(self.reader) if e.kind != "cpu"]
        self.events = sorted(events, key=lambda e: e.ts)
        assert self.reader.totals()["lost_events"] == 0
    def held(self):
        held, since, self.lengths = defaultdict(int), {}, []
        for e in self.events:
            if e.kind == "acquire":
                since[e.slot] = e.ts
            elif e.kind == "release":
                self.lengths.append(e.ts - since.pop(e.slot))
                held[self.tids[e.slot]] += self.lengths[-1]
        return held
"""

POLICIES = pytest.mark.parametrize("policy", ["manual", "auto"])


def run(code: str, tmp_path: Path, *args: str, check: bool = True) -> str:
    """Run ``code`` after PRELUDE; returns its output."""
    return run_python(PRELUDE + "\n" + code, tmp_path / "arena", *args, check=check).stdout
