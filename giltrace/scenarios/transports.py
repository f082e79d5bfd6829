"""The client's end of each transport."""

from __future__ import annotations

import os
import socket
from multiprocessing import AuthenticationError
from typing import Any, Callable, Protocol

from giltrace.scenarios.server import tune
from giltrace.scenarios.wire import (
    AUTH_KEY,
    DRAWN,
    END,
    MAX_MESSAGE,
    WireError,
    read_message,
    write_message,
)
from giltrace.scenarios.zmq_transport import LINGER_MS, import_zmq


class Channel(Protocol):
    """A connection to a server."""

    def send(self, payload: bytes) -> None:
        """Send one message; an empty one ends the run."""

    def receive(self) -> bytes:
        """Wait for one message."""

    def close(self) -> None:
        """Close the connection; what was sent is still delivered."""


class _Tcp:
    def __init__(self, endpoint: str) -> None:
        self._socket = tune(socket.create_connection(_address(endpoint)))

    def send(self, payload: bytes) -> None:
        write_message(self._socket, payload)

    def receive(self) -> bytes:
        return read_message(self._socket)

    def close(self) -> None:
        self._socket.close()


class _Multiprocessing:
    def __init__(self, endpoint: str) -> None:
        from multiprocessing.connection import Client

        self._connection = Client(_address(endpoint), "AF_INET", authkey=AUTH_KEY)

    def send(self, payload: bytes) -> None:
        self._connection.send_bytes(payload)

    def receive(self) -> bytes:
        return self._connection.recv_bytes(MAX_MESSAGE)

    def close(self) -> None:
        self._connection.close()


class _Zmq:
    def __init__(self, endpoint: str) -> None:
        zmq = import_zmq()
        self._context: Any = zmq.Context()
        self._socket: Any = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.connect(endpoint)
        self.send = self._socket.send
        self.receive = self._socket.recv

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class _Terminal:
    """Types one key for each message, and takes the line that shows it for the echo."""

    def __init__(self, endpoint: str) -> None:
        self._fd = os.open(endpoint, os.O_RDWR | os.O_NOCTTY)
        self._payload = b""

    def send(self, payload: bytes) -> None:
        self._payload = payload
        os.write(self._fd, self._key if payload else END)

    def receive(self) -> bytes:
        drawn = b""
        while not drawn.endswith(DRAWN):
            more = os.read(self._fd, 4096)
            if not more:
                raise WireError("the terminal was closed")
            drawn += more
        if not drawn.endswith(self._key.upper() + DRAWN):
            return drawn
        return self._payload

    def close(self) -> None:
        os.close(self._fd)

    @property
    def _key(self) -> bytes:
        """A letter for a message: another one for the next."""
        return b"%c" % (ord("a") + sum(self._payload[:8]) % 26)


TRANSPORTS: dict[str, Callable[[str], Channel]] = {
    "tcp": _Tcp,
    "zmq": _Zmq,
    "multiprocessing": _Multiprocessing,
    "terminal": _Terminal,
}
"""Connects to an endpoint, by name of the transport."""

ERRORS = (WireError, OSError, EOFError, AuthenticationError)
"""What a channel raises when the server is gone. (0MQ waits for it to come back instead.)"""


def end_run(transport: str, endpoint: str) -> None:
    """End a run in the place of a client that no longer can; harmless if it has ended."""
    try:
        channel = TRANSPORTS[transport](endpoint)
    except ERRORS:
        return
    try:
        channel.send(b"")
    except ERRORS:
        pass
    finally:
        channel.close()


def _address(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host, int(port)
