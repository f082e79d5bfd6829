"""Clients that break the rules: one line in the log, and the next client is served."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from multiprocessing.connection import Client

import pytest

from giltrace.scenarios.transports import TRANSPORTS
from giltrace.scenarios.wire import AUTH_KEY
from tests.integration.scenarios.conftest import Serving

TCP = ("blocking", "nonblocking", "asyncio", "threadpool")
Serve = Callable[[str], Serving]


def a_good_run(serving: Serving, transport: str) -> None:
    """Have one message echoed, and end the run."""
    channel = TRANSPORTS[transport](serving.endpoint)
    channel.send(b"hello")
    assert b"hello" == channel.receive()
    channel.send(b"")
    channel.close()


def complaint(serving: Serving, sock: socket.socket, what: str) -> str:
    """The line that the server is to write about this peer."""
    host, port = sock.getsockname()
    return f"giltrace: {serving.name}: {host}:{port}: {what}; connection closed"


@pytest.mark.parametrize("name", TCP)
@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"", "left between two messages"),
        (b"\x00\x00", "left in the middle of a message"),
        (b"\x00\x00\x00\x0a123", "left in the middle of a message"),
        (b"\x00\x00\x00\x0a", "left in the middle of a message"),
    ],
    ids=["silent", "short header", "short message", "header only"],
)
def test_a_client_that_leaves(serve: Serve, name: str, sent: bytes, what: str) -> None:
    """A client that vanishes, in whatever part of a message, is noted and forgotten."""
    serving = serve(name)
    with socket.create_connection(serving.address) as stranger:
        stranger.sendall(sent)
        expected = complaint(serving, stranger, what)
        stranger.shutdown(socket.SHUT_WR)
        assert b"" == stranger.recv(1)
    a_good_run(serving, "tcp")
    assert [expected] == serving.ended()


@pytest.mark.parametrize("name", TCP)
@pytest.mark.parametrize(
    ("sent", "size"),
    [(b"\x04\x00\x00\x01", 67108865), (b"\xff" * 4, 4294967295), (b"GET ", 1195725856)],
    ids=["over the limit", "huge", "http"],
)
def test_a_client_that_announces_too_much(serve: Serve, name: str, sent: bytes, size: int) -> None:
    """A client that announces more than the limit is cut off, without waiting for its bytes."""
    serving = serve(name)
    with socket.create_connection(serving.address) as stranger:
        stranger.sendall(sent)
        assert b"" == stranger.recv(1)
        what = f"announced a message of {size} bytes, over the limit of 67108864"
        expected = complaint(serving, stranger, what)
    a_good_run(serving, "tcp")
    assert [expected] == serving.ended()


@pytest.mark.parametrize("name", TCP)
def test_a_client_that_resets(serve: Serve, name: str) -> None:
    """A connection that breaks instead of ending is noted and forgotten too."""
    serving = serve(name)
    with socket.create_connection(serving.address) as stranger:
        stranger.sendall(b"\x00\x00\x00\x01a\x00\x00")
        echo = b""
        while len(echo) < 5:
            echo += stranger.recv(5)
        expected = complaint(serving, stranger, "")
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a_good_run(serving, "tcp")
    (line,) = serving.ended()
    start, _, end = expected.partition(";")
    assert line.startswith(start)
    assert line.endswith(end)


@pytest.mark.parametrize("name", ["nonblocking", "asyncio", "threadpool"])
def test_clients_side_by_side(serve: Serve, name: str) -> None:
    """A client that says nothing for a while keeps no other waiting."""
    serving = serve(name)
    with socket.create_connection(serving.address) as idle:
        idle.sendall(b"\x00\x00")
        first, second = (TRANSPORTS["tcp"](serving.endpoint) for _ in range(2))
        first.send(b"one")
        second.send(b"two")
        assert b"two" == second.receive()
        assert b"one" == first.receive()
        first.close()
        a_good_run(serving, "tcp")
        serving.ended()
        second.close()


@pytest.mark.parametrize(
    "sent",
    [b"", b"\xff\xff\xff\x00", b"\xff" * 12, b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x05wrong"],
    ids=["silent", "negative length", "huge length", "http", "wrong key"],
)
def test_no_multiprocessing_client(serve: Serve, sent: bytes) -> None:
    """A stranger at the multiprocessing server is turned away."""
    serving = serve("multiprocessing")
    with socket.create_connection(serving.address) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # how it ends if not all of it was read
            while stranger.recv(1000):
                pass
        expected = complaint(serving, stranger, "no multiprocessing client (")
    a_good_run(serving, "multiprocessing")
    (line,) = serving.ended()
    start, _, end = expected.partition(";")
    assert line.startswith(start)
    assert line.endswith(end)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"", "left between two messages"),
        (struct.pack("!i", 100) + b"abc", "got end of file during message"),
        (struct.pack("!i", 100_000_000), "bad message length"),
    ],
    ids=["silent", "short message", "huge"],
)
def test_a_multiprocessing_client_that_leaves(serve: Serve, sent: bytes, what: str) -> None:
    """A client that knows the key and then breaks the rules is noted and forgotten."""
    serving = serve("multiprocessing")
    with Client(serving.address, "AF_INET", authkey=AUTH_KEY) as stranger:
        os.write(stranger.fileno(), sent)
    a_good_run(serving, "multiprocessing")
    (line,) = serving.ended()
    assert line.startswith("giltrace: multiprocessing: 127.0.0.1:")
    assert line.endswith(f": {what}; connection closed")


@pytest.mark.parametrize("name", ["python-zmq", "c-zmq"])
def test_a_0mq_request_of_several_frames(serve: Serve, name: str) -> None:
    """A request that is no single frame is refused, an empty first frame does not end the run."""
    zmq = pytest.importorskip("zmq")
    serving = serve(name)
    with zmq.Context() as context, context.socket(zmq.REQ) as stranger:
        stranger.connect(serving.endpoint)
        for frames in ([b"", b""], [b"one", b"two", b"three"]):
            stranger.send_multipart(frames)
            assert [b""] == stranger.recv_multipart()
    a_good_run(serving, "zmq")
    line = f"giltrace: {name}: a client: sent a message of several frames; "
    assert [line + "refused with an empty reply"] * 2 == serving.ended()


@pytest.mark.parametrize("name", ["python-zmq", "c-zmq"])
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64])
def test_no_0mq_client(serve: Serve, name: str, sent: bytes) -> None:
    """A stranger at a 0MQ server does not disturb it."""
    serving = serve(name)
    with socket.create_connection(serving.address) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
    a_good_run(serving, "zmq")
    assert [] == serving.ended()


@pytest.mark.parametrize("name", ["python-zmq", "c-zmq"])
def test_a_0mq_client_that_leaves_before_its_reply(serve: Serve, name: str) -> None:
    """A reply that nobody waits for is dropped."""
    zmq = pytest.importorskip("zmq")
    serving = serve(name)
    with zmq.Context() as context, context.socket(zmq.REQ) as stranger:
        stranger.connect(serving.endpoint)
        stranger.send(b"hello")
    a_good_run(serving, "zmq")
    assert [] == serving.ended()


@pytest.mark.parametrize("name", ["python-zmq", "c-zmq"])
def test_a_0mq_message_over_the_limit(serve: Serve, name: str) -> None:
    """A message that is too long gets its client cut off by libzmq; the server never sees it."""
    zmq = pytest.importorskip("zmq")
    serving = serve(name)
    with zmq.Context() as context, context.socket(zmq.REQ) as stranger:
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.setsockopt(zmq.RECONNECT_IVL, -1)
        with stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            stranger.connect(serving.endpoint)
            stranger.send(bytes(64 * 1024 * 1024 + 1))
            monitor.recv_multipart()
            stranger.disable_monitor()
    a_good_run(serving, "zmq")
    assert [] == serving.ended()
