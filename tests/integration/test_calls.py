"""Interposing on C functions in live interpreters; each test runs in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.python import run_python

PRELUDE = """
import os, socket, sys, threading, time
from giltrace import _core
from giltrace.runtime import calls
from tests.support.events import decode

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
        self.events = decode(*self.reader.drain())
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


def test_each_release_carries_the_name_of_its_call(tmp_path: Path) -> None:
    """Sockets, sleeps, locks and files by their own names, in the order of the calls."""
    run(
        """
def known():
    a, b = socket.socketpair()
    a.send(b"x"); b.recv(1)
    time.sleep(0)
    number = os.open("/dev/null", os.O_RDONLY)
    os.read(number, 1)
    os.close(number)
    lock = threading.Lock(); lock.acquire()
    threading.Timer(0.02, lock.release).start()
    with lock: pass
with Recorded() as seen:
    known()
expected = ["_socket.socket.send", "_socket.socket.recv", "time.sleep",
            "posix.open", "posix.read", "posix.close", "_thread.lock.__enter__"]
found = [name for name in seen.calls("known") if name is None or not name.endswith("socket.close")]
assert found == expected, found
""",
        tmp_path,
    )


def test_file_descriptors_follow_their_releases(tmp_path: Path) -> None:
    """A DETAIL right after the release says which descriptor a call was about."""
    run(
        """
a, b = socket.socketpair()
number = os.open("/dev/null", os.O_RDONLY)
with Recorded() as seen:
    a.send(b"x"); b.recv(1); os.read(number, 1); time.sleep(0)
pairs = {}
for event, after in zip(seen.events, seen.events[1:]):
    if event.kind == "release":
        pairs[seen.names.get(event.payload >> 32)] = after.payload if after.kind == "detail" else -1
assert pairs["_socket.socket.send"] == a.fileno()
assert pairs["_socket.socket.recv"] == b.fileno()
assert pairs["posix.read"] == number
assert pairs["time.sleep"] == -1
""",
        tmp_path,
    )


def test_a_call_is_over_when_python_code_runs(tmp_path: Path) -> None:
    """What Python code called from C does is not blamed on the C call around it, nor after it."""
    run(
        """
import ctypes
silent = ctypes.CDLL(None).getppid  # lets the GIL go, and nobody interposes on it
class Raw:
    def __index__(self):
        silent()
        return 1
def outer(sock):
    sock.recv(Raw())  # runs Raw.__index__, then blocks
    silent()
a, b = socket.socketpair()
b.send(b"xx")
with Recorded() as seen:
    outer(a)
assert seen.calls("Raw.__index__") == [None]
assert seen.calls("outer") == ["_socket.socket.recv", None]
""",
        tmp_path,
    )


def test_extension_modules_are_covered_as_they_are_imported(tmp_path: Path) -> None:
    """A module imported while recording gets its functions named; nothing is imported for it."""
    run(
        """
assert "zlib" not in sys.modules
def squeeze():
    import zlib
    zlib.compress(bytes(1_000_000))
with Recorded() as seen:
    assert "zlib" not in sys.modules
    squeeze()
assert seen.calls("squeeze") == ["zlib.compress"], seen.calls("squeeze")
""",
        tmp_path,
    )


def test_functions_of_cython_are_covered(tmp_path: Path) -> None:
    """0MQ's sockets, which are written in Cython, are named like any other."""
    pytest.importorskip("zmq")
    run(
        """
import zmq
def talk(a, b):
    a.send(b"x")
    b.recv()
with zmq.Context() as context:
    a, b = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    a.bind("inproc://here"); b.connect("inproc://here")
    with Recorded() as seen:
        talk(a, b)
    a.close(); b.close()
names = set(seen.names.values())
assert {"zmq.backend.cython._zmq.Socket.recv", "zmq.backend.cython._zmq.Socket.send"} <= names
assert set(seen.calls("talk")) <= names
""",
        tmp_path,
    )


def test_results_and_errors_are_those_of_the_function(tmp_path: Path) -> None:
    """Every way of calling a C function gives the same results, exceptions and errno."""
    run(
        """
import errno, fcntl, zlib
def outcome(f, *args, **kwargs):
    try:
        return repr(f(*args, **kwargs))
    except Exception as error:
        return repr(error)
def probe():
    number = os.open("/etc/passwd", os.O_RDONLY)
    a, b = socket.socketpair()
    a.settimeout(0.001)
    lock = threading.Lock()
    try:
        return [
            outcome(os.read, number, 5), outcome(os.read, -1, 5), outcome(os.read),
            outcome(os.read, "x", 1), outcome(os.stat, "/nonexistent"), outcome(os.stat),
            outcome(os.stat, "/etc", follow_symlinks=False) != "", outcome(os.stat, "/", bad=1),
            outcome(time.sleep, -1), outcome(time.sleep, "x"),
            outcome(a.recv, 1), outcome(a.send, b"abc"), outcome(b.recv, 2), outcome(b.recv),
            outcome(lock.acquire), outcome(lock.acquire, False), outcome(lock.acquire, True, -5),
            outcome(lock.acquire, timeout=0.001), outcome(fcntl.flock, number, fcntl.LOCK_SH),
            outcome(fcntl.fcntl, number, fcntl.F_GETFD), outcome(zlib.compress, b"aaaa", level=1),
            outcome(zlib.compress), outcome(open, "/nonexistent"), outcome(open, "/etc/hosts", "q"),
            outcome(a.connect, "/nonexistent"), outcome(socket.getaddrinfo, "127.0.0.1", 80),
        ]
    finally:
        os.close(number); a.close(); b.close()
import re
steady = lambda rows: [re.sub("0x[0-9a-f]+", "", str(row)) for row in rows]
before = steady(probe())
with Recorded():
    during = steady(probe())
assert before == during, [pair for pair in zip(before, during) if pair[0] != pair[1]]
""",
        tmp_path,
    )


def test_everything_is_put_back(tmp_path: Path) -> None:
    """After stop no function is interposed on, no loader wrapped; a thread may still be inside."""
    run(
        """
from importlib.machinery import BuiltinImporter, ExtensionFileLoader
found = [vars(kind)["exec_module"] for kind in (ExtensionFileLoader, BuiltinImporter)]
a, b = socket.socketpair()
got = []
thread = threading.Thread(target=lambda: got.append(a.recv(1)))
for _ in range(200):
    with Recorded():
        assert _core.state()["interposed"] > 50
        if not thread.ident:
            thread.start()
            while not os.readlink(f"/proc/self/task/{thread.native_id}/cwd"): pass
    assert _core.state()["interposed"] == 0
assert found == [vars(kind)["exec_module"] for kind in (ExtensionFileLoader, BuiltinImporter)]
b.send(b"!"); thread.join()
assert got == [b"!"]
""",
        tmp_path,
    )


def test_a_wrapper_set_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Who has wrapped the loader while we recorded keeps the wrapper, and it still works."""
    run(
        """
from importlib.machinery import ExtensionFileLoader
theirs = []
with Recorded():
    ours = ExtensionFileLoader.exec_module
    def wrapped(self, module):
        theirs.append(module.__name__)
        return ours(self, module)
    ExtensionFileLoader.exec_module = wrapped
assert ExtensionFileLoader.exec_module is wrapped
import _bz2
assert "_bz2" in theirs and _core.state()["interposed"] == 0, "stopped means stopped"
""",
        tmp_path,
    )


def test_python_functions_and_slots_are_refused(tmp_path: Path) -> None:
    """What is no C function with a definition of its own is not touched."""
    run(
        """
class Callable:
    def __call__(self): pass
for thing in (lambda: 0, Callable(), print.__call__, int, object.__repr__, 5, None, "x"):
    assert _core.interpose(thing, "m.name", 0) is False
assert _core.interpose(time.sleep, "time.other", 0) is False, "under a name that is not its own"
assert _core.interpose(time.sleep, "time.sleep", 0) is True
assert _core.interpose(time.sleep, "time.sleep", 0) is True
assert _core.state()["interposed"] == 1
_core.restore()
""",
        tmp_path,
    )


def test_threads_of_c_are_named_too(tmp_path: Path) -> None:
    """Calls of a thread that Python did not start carry their names."""
    run(
        """
import ctypes
libc = ctypes.CDLL(None)
@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def foreign(_):
    time.sleep(0.001)
    return None
with Recorded() as seen:
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, foreign, None) == 0
    libc.pthread_join(thread, None)
assert seen.calls("foreign") == ["time.sleep"], seen.calls("foreign")
""",
        tmp_path,
    )


def test_the_names_are_told_anew_to_each_recording(tmp_path: Path) -> None:
    """A second recording of the same process is as complete as the first."""
    run(
        """
def nap(): time.sleep(0)
for _ in range(2):
    with Recorded() as seen:
        nap()
    assert seen.calls("nap") == ["time.sleep"]
""",
        tmp_path,
    )


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
    return run_python(PRELUDE + SPANS + "\n" + code, tmp_path / "arena").stdout


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
