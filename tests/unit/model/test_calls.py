"""Names of C calls: what people call them, what they do, and how holds come by them."""

from __future__ import annotations

import _io
import _queue
import _socket
import _thread
import bz2
import hashlib
import lzma
import mmap
import os
import select
import signal
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from giltrace.capture.records import CallInfo
from giltrace.model import Call, OffKind, build, check
from giltrace.model.calls import UNKNOWN_CALL, known_call
from giltrace.model.dense import is_constant
from giltrace.runtime.callables import ALIASES, FUNCTIONS
from tests.support.timeline import recording, timeline

BLOCKED, SLEEP, LOCK, NATIVE, UNKNOWN = (
    OffKind.BLOCKED,
    OffKind.SLEEP,
    OffKind.LOCK,
    OffKind.NATIVE,
    OffKind.UNKNOWN,
)


@pytest.mark.parametrize(
    ("name", "label", "kind"),
    [
        ("_socket.socket.recv", "socket.recv", BLOCKED),
        ("_socket.socket._accept", "socket.accept", BLOCKED),
        ("_socket.getaddrinfo", "socket.getaddrinfo", BLOCKED),
        ("select.epoll.poll", "select.epoll.poll", BLOCKED),
        ("_ssl._SSLSocket.read", "SSLSocket.read", BLOCKED),
        ("_ssl._SSLContext.load_verify_locations", "SSLContext.load_verify_locations", UNKNOWN),
        ("posix.read", "os.read", BLOCKED),
        ("posix.DirEntry.stat", "os.DirEntry.stat", BLOCKED),
        ("posix.sched_yield", "os.sched_yield", SLEEP),
        ("posix.urandom", "os.urandom", UNKNOWN),
        ("_io.FileIO.readinto", "FileIO.readinto", BLOCKED),
        ("io.open", "open", BLOCKED),
        ("builtins.input", "input", BLOCKED),
        ("builtins.sorted", "sorted", UNKNOWN),
        ("_posixsubprocess.fork_exec", "subprocess.Popen", BLOCKED),
        ("fcntl.flock", "fcntl.flock", BLOCKED),
        ("mmap.mmap.flush", "mmap.flush", BLOCKED),
        ("time.sleep", "time.sleep", SLEEP),
        ("time.perf_counter", "time.perf_counter", UNKNOWN),
        ("_signal.sigwait", "signal.sigwait", SLEEP),
        ("_thread.lock.acquire", "Lock.acquire", LOCK),
        ("_thread.lock.__enter__", "Lock.acquire", LOCK),
        ("_thread.RLock._acquire_restore", "RLock.acquire", LOCK),
        ("_thread._ThreadHandle.join", "Thread.join", LOCK),
        ("_thread.start_new_thread", "_thread.start_new_thread", UNKNOWN),
        ("_queue.SimpleQueue.get", "SimpleQueue.get", LOCK),
        ("_multiprocessing.SemLock.__enter__", "multiprocessing.Lock.acquire", LOCK),
        ("zlib.compress", "zlib.compress", NATIVE),
        ("_bz2.BZ2Compressor.compress", "bz2.BZ2Compressor.compress", NATIVE),
        ("_hashlib.HASH.update", "hashlib.update", NATIVE),
        ("_hashlib.openssl_sha3_256", "hashlib.sha3_256", NATIVE),
        ("_sha2.SHA224Type.update", "hashlib.sha224.update", NATIVE),
        ("_blake2.blake2b.update", "hashlib.blake2b.update", NATIVE),
        ("_sqlite3.Cursor.execute", "sqlite3.Cursor.execute", UNKNOWN),
        ("sqlite3.Cursor.execute", "sqlite3.Cursor.execute", UNKNOWN),
        ("zmq.backend.cython._zmq.Socket.recv", "zmq.Socket.recv", BLOCKED),
        ("zmq.backend.cython._zmq.zmq_poll", "zmq.poll", BLOCKED),
        ("zmq.backend.cython._poll.zmq_poll", "zmq.poll", BLOCKED),
        ("numpy._core._multiarray_umath.dot", "numpy._core._multiarray_umath.dot", NATIVE),
        ("a.module.of.mine.work", "a.module.of.mine.work", UNKNOWN),
        ("nameless", "nameless", UNKNOWN),
        (".", ".", UNKNOWN),
    ],
)
def test_known_calls(name: str, label: str, kind: OffKind) -> None:
    """The standard library's blocking functions have labels and kinds; others keep their names."""
    assert known_call(name) == Call(name, label, kind)


def test_no_name_is_the_unknown_call() -> None:
    """An empty name says nothing."""
    assert known_call("") is UNKNOWN_CALL
    assert UNKNOWN_CALL == Call("", "", UNKNOWN)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (time.sleep, SLEEP),
        (os.read, BLOCKED),
        (select.select, BLOCKED),
        (signal.sigwait, SLEEP),
        (_socket.socket.recv, BLOCKED),
        (_io.FileIO.readinto, BLOCKED),
        (_io.open, BLOCKED),
        (select.epoll.poll, BLOCKED),
        (mmap.mmap.flush, BLOCKED),
        (_queue.SimpleQueue.get, LOCK),
        (_thread.LockType.acquire, LOCK),
        (_thread.RLock.acquire, LOCK),
        (zlib.compress, NATIVE),
        (type(zlib.compressobj()).compress, NATIVE),
        (bz2.BZ2Compressor.compress, NATIVE),
        (lzma.LZMADecompressor.decompress, NATIVE),
        (type(hashlib.new("sha256")).update, NATIVE),
        (type(hashlib.blake2b()).update, NATIVE),
        (type(threading.Lock()).acquire, LOCK),
    ],
    ids=lambda value: value.name if isinstance(value, OffKind) else value.__qualname__,
)
def test_this_interpreter_calls_them_so(method: Callable[..., Any], kind: OffKind) -> None:
    """What C functions call themselves is what the tables know, whatever the version."""
    owner = getattr(method, "__objclass__", None)
    prefix = f"{owner.__module__}.{owner.__qualname__}" if owner else method.__module__
    assert known_call(f"{prefix}.{method.__name__}").kind == kind


def test_all_that_is_watched_is_known() -> None:
    """Each function that gets a name in a recording belongs to an owner in the tables."""
    free = {"_imp", "_interpreters"}  # anything may happen in these
    strange = []
    for module, rows in FUNCTIONS.items():
        for _, prefix, names in rows:
            owner = f"{ALIASES.get(prefix[:-1], prefix[:-1])}." if prefix else ""
            calls = [known_call(f"{module}.{owner}{name}") for name in names.split()]
            strange += [call for call in calls if call.label == call.name and call.kind == UNKNOWN]
    assert {call.name.partition(".")[0] for call in strange} <= free | {"_thread"}


def test_holds_name_their_calls() -> None:
    """A release's call id becomes a number in ``trace.calls``, 0 where there is none."""
    trace = timeline(
        """
        a: hold 0-1ms call=time.sleep hold 2-3ms hold 4-5ms call=posix.read hold 6-7ms call=x.y
        b: hold 8-9ms call=time.sleep hold 10ms-
        """
    )
    assert [call.label for call in trace.calls] == ["", "time.sleep", "os.read", "x.y"]
    assert trace.holds.call.tolist() == [1, 0, 2, 3, 1, 0]
    assert check(trace) == []


def test_calls_of_several_processes() -> None:
    """Calls of one name are one call, whatever number each process gave them."""
    trace = timeline(
        "process 1; a: hold 0-1ms call=time.sleep; "
        "process 2; a: hold 0-1ms call=posix.read hold 2-3ms call=time.sleep"
    )
    assert trace.holds.call.tolist() == [1, 2, 1]


def test_ids_without_a_name() -> None:
    """A call whose record is missing, or impossible, is the unknown call."""
    made = recording("a: hold 0-1ms call=time.sleep hold 2-3ms call=posix.read").capture()
    made.calls[:] = [*made.calls[1:], CallInfo(0, 0, "zero"), CallInfo(0, 1 << 20, "huge")]
    trace = build(made)
    assert trace.holds.call.tolist() == [0, 1]
    assert [call.name for call in trace.calls] == ["", "posix.read"]


def test_no_calls_cost_nothing() -> None:
    """Columns that hold one value everywhere are not stored, in several processes neither."""
    trace = timeline("process 1; a: hold 0-1ms; process 2; a: hold 0-1ms hold 2-3ms")
    assert trace.holds.call.tolist() == [0, 0, 0]
    assert trace.holds.fd.tolist() == [-1, -1, -1]
    assert all(is_constant(column) for column in (trace.holds.call, trace.holds.fd))


def test_file_descriptors() -> None:
    """A descriptor belongs to the release before it, be it with callers and a clock or without."""
    trace = timeline(
        """
        process 1
        a: hold 0-1ms at a.py:1 from a.py:2 from a.py:3 cpu=0-1ms fd=7  hold 2-3ms  hold 4-5ms fd=0
        b: hold 6-7ms fd=9
        process 2
        a: hold 0-1ms
        """
    )
    assert trace.holds.fd.tolist() == [7, -1, 0, 9, -1]
    assert len(trace.stacks[int(trace.holds.stack[0])]) == 2
    assert check(trace) == []


def test_stray_descriptors() -> None:
    """What is no descriptor, follows no release, or comes after a loss, is nobody's."""
    trace = timeline(
        """
        a: event@0 kind=8 payload=3 hold 1-2ms fd=4294967295 hold 3-4ms lost 1
        a: event@0 kind=8 payload=5 acquire@5ms event@0 kind=8 payload=6 release@6ms
        """
    )
    assert trace.holds.fd.tolist() == [-1, -1, -1]
    assert check(trace) == []
