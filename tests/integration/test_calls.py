"""Interposing on C functions in live interpreters; each test runs in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interposed import run


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
