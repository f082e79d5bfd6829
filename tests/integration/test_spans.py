"""Calls of Python functions as spans; each test runs in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.interposed import run

SPANS = """
from giltrace.runtime import spans

class Spans(Recorded):
    def __enter__(self):
        super().__enter__()
        self.why = spans.watch(0)
        return self

    def __exit__(self, *exc):
        spans.unwatch()
        super().__exit__(*exc)
        self.spans = []  # (slot, depth, function, start, end), by their ends
        for event, after in zip(self.events, self.events[1:]):
            if event.kind == "span":
                assert after.kind == "span_end" and after.payload == event.payload
                name = self.codes.get(event.payload & 0xFFFF)
                self.spans.append((event.slot, event.payload >> 16, name, event.ts, after.ts))

    def nested(self):
        "Whether the spans of each thread are disjoint or one within the other."
        for slot in {span[0] for span in self.spans}:
            open_ = []
            for _, depth, _, start, end in sorted(
                (span for span in self.spans if span[0] == slot), key=lambda s: (s[3], s[1])
            ):
                while open_ and open_[-1] <= start: open_.pop()
                assert not open_ or end <= open_[-1], "crosses the one around it"
                open_.append(end)
        return True
"""


def spans(code: str, tmp_path: Path) -> str:
    """Run ``code`` after PRELUDE and SPANS; returns its output."""
    return run(SPANS + "\n" + code, tmp_path)


def test_function_spans_stay_balanced(tmp_path: Path) -> None:
    """Recursion, generators, exceptions and other threads: each call is one span, well nested."""
    spans(
        """
from collections import Counter
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def numbers():
    for i in range(3): yield i
def raises(): raise KeyError
def catches():
    for _ in range(5):
        try: raises()
        except KeyError: pass
def abandoned():
    generator = numbers(); next(generator); generator.close()
def thrown():
    generator = numbers(); next(generator)
    try: generator.throw(KeyError)
    except KeyError: pass
def work():
    fib(7); list(numbers()); catches(); abandoned(); thrown()
with Spans() as seen:
    work()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
assert seen.why == ""
count = Counter(span[2] for span in seen.spans)
assert (count["fib"], count["raises"], count["work"]) == (4 * 41, 4 * 5, 4), count
# Closing a generator may do without running it (CPython 3.13: gen_close()).
assert count["numbers"] - 4 * (4 + 2) in (4, 8), count["numbers"]
assert seen.nested()
""",
        tmp_path,
    )


def test_deep_recursion_is_cut_off_not_crashed(tmp_path: Path) -> None:
    """Beyond the depth that is kept, calls run on unrecorded, and those around them are whole."""
    spans(
        """
def deep(n): return n and deep(n - 1)
def around(): deep(40_000)
sys.setrecursionlimit(100_000)
with Spans() as seen:
    around()
assert [span[1] for span in seen.spans if span[2] == "around"] == [1]
assert sum(span[2] == "deep" for span in seen.spans) == 32_767
""",
        tmp_path,
    )


def test_short_calls_are_left_out(tmp_path: Path) -> None:
    """Only calls that last as long as was asked for are recorded."""
    spans(
        """
def short(): pass
def long(): time.sleep(0.02)
with Recorded() as seen:
    spans.watch(10_000_000)
    short(); long()
    spans.unwatch()
names = [seen.codes.get(e.payload & 0xFFFF) for e in seen.events if e.kind == "span"]
assert names == ["long"], names
""",
        tmp_path,
    )


def test_a_profiler_that_comes_meanwhile_works_and_keeps_its_slot(tmp_path: Path) -> None:
    """CProfile runs beside the recording; afterwards nothing of ours is left."""
    spans(
        """
import cProfile, pstats
def work(): return sum(range(10))
with Spans() as seen:
    profiler = cProfile.Profile()
    profiler.runcall(work)
    work()
found = {key[2] for key in pstats.Stats(profiler).stats}
assert "work" in found, found
assert sys.getprofile() is None
if hasattr(sys, "monitoring"):
    assert all(sys.monitoring.get_tool(tool) is None for tool in range(6))
""",
        tmp_path,
    )


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the profile slot is not used there")
def test_a_taken_profile_slot_is_left_alone(tmp_path: Path) -> None:
    """Who has it is named, keeps it, and the recording goes on without that thread's functions."""
    spans(
        """
seen_by_them = []
def theirs(frame, event, arg): seen_by_them.append(frame.f_code.co_name)
def work(): time.sleep(0)
sys.setprofile(theirs)
with Spans() as seen:
    work()
assert sys.getprofile() is theirs
sys.setprofile(None)
assert "sys.setprofile()" in seen.why, seen.why
assert "work" in seen_by_them
assert seen.calls("work") == ["time.sleep"], "the names of calls need no slot"
assert not any(span[2] == "work" for span in seen.spans)
""",
        tmp_path,
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
def test_taken_monitoring_tools_are_left_alone(tmp_path: Path) -> None:
    """Who has them is named, keeps them, and the recording goes on without functions."""
    spans(
        """
for tool in (3, 4): sys.monitoring.use_tool_id(tool, f"them{tool}")
def work(): time.sleep(0)
with Spans() as seen:
    work()
assert "them3" in seen.why and "them4" in seen.why, seen.why
assert [sys.monitoring.get_tool(tool) for tool in (3, 4)] == ["them3", "them4"]
assert seen.calls("work") == ["time.sleep"] and not seen.spans
""",
        tmp_path,
    )


def test_threads_of_every_origin_have_spans(tmp_path: Path) -> None:
    """Threads there were before, `_thread`'s own, and those started by C."""
    spans(
        """
import _thread, ctypes
libc = ctypes.CDLL(None)
def work(): time.sleep(0)
go, done = threading.Event(), threading.Semaphore(0)
def before():
    go.wait(); work(); done.release()
def raw():
    work(); done.release()
@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def foreign(_):
    work(); return None
thread = threading.Thread(target=before); thread.start()
with Spans() as seen:
    go.set(); done.acquire()
    _thread.start_new_thread(raw, ()); done.acquire()
    handle = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(handle), None, foreign, None)
    libc.pthread_join(handle, None)
thread.join()
assert len({span[0] for span in seen.spans if span[2] == "work"}) == 3, seen.spans
""",
        tmp_path,
    )
