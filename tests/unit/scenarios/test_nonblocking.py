"""The event loop of the nonblocking server, one step at a time."""

from __future__ import annotations

import selectors
import socket

from giltrace.scenarios.nonblocking import _Connection


def test_message_in_pieces_comes_back_whole() -> None:
    """A message that arrives byte by byte is echoed once it is complete, not before."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        connection = _Connection(ours, "peer")
        message = b"\x00\x00\x00\x03abc"
        for position in range(len(message)):
            theirs.send(message[position : position + 1])
            assert not connection.step()
        assert message == theirs.recv(100)


def test_several_messages_at_once() -> None:
    """Messages that arrive together are all echoed, in order, up to the end of the run."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = _Connection(ours, "peer")
        theirs.sendall(b"\x00\x00\x00\x01a\x00\x00\x00\x02bc\x00\x00\x00\x00")
        assert connection.step()
        assert b"\x00\x00\x00\x01a\x00\x00\x00\x02bc" == theirs.recv(100)


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    """What cannot be sent is kept, and nothing more is received until it has gone."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        connection = _Connection(ours, "peer")
        size = 4 * 1024 * 1024
        outgoing = memoryview(size.to_bytes(4, "big") + bytes(size))
        while outgoing:
            outgoing = outgoing[theirs.send(outgoing) :]
            connection.step()
        while connection.interest == selectors.EVENT_READ:
            connection.step()
        assert selectors.EVENT_WRITE == connection.interest

        received = 0
        while received < 4 + size:
            received += len(theirs.recv(1024 * 1024))
            connection.step()
        assert 4 + size == received
        assert selectors.EVENT_READ == connection.interest
