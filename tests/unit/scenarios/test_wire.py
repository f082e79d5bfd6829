"""The messages of the experiment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from giltrace.scenarios import wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("payload", [b"", b"x", bytes(70_000)])
def test_messages_survive_the_wire(
    pair: tuple[socket.socket, socket.socket], payload: bytes
) -> None:
    """A message that is written is read, whatever its length."""
    wire.write_message(pair[0], payload)
    assert payload == wire.read_message(pair[1])


def test_message_on_the_wire(pair: tuple[socket.socket, socket.socket]) -> None:
    """A message is its length in network order, then its bytes."""
    wire.write_message(pair[0], b"abc")
    assert b"\x00\x00\x00\x03abc" == pair[1].recv(100)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "left between two messages"),
        (b"\x00\x00", "left in the middle of a message"),
        (b"\x00\x00\x00\x05", "left in the middle of a message"),
        (b"\x00\x00\x00\x05abcd", "left in the middle of a message"),
        (b"\x04\x00\x00\x01", "announced a message of 67108865 bytes, over the limit of 67108864"),
        (b"GET ", "announced a message of 1195725856 bytes, over the limit of 67108864"),
    ],
)
def test_broken_messages(
    pair: tuple[socket.socket, socket.socket], sent: bytes, message: str
) -> None:
    """A peer that leaves or announces too much is told apart from one that plays by the rules."""
    pair[0].sendall(sent)
    pair[0].close()
    with pytest.raises(wire.WireError) as caught:
        wire.read_message(pair[1])
    assert message == str(caught.value)


def test_limit_is_inclusive() -> None:
    """The longest message allowed is 64 MiB."""
    assert 64 * 1024 * 1024 == wire.check_size(64 * 1024 * 1024)


def test_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A line on stderr names the server, the peer and what happened; stdout stays data."""
    wire.log("blocking", "127.0.0.1:1", "left; connection closed")
    assert ("", "giltrace: blocking: 127.0.0.1:1: left; connection closed\n") == capsys.readouterr()
