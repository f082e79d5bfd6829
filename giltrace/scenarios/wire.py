"""The messages of the experiment and how a server treats a peer that breaks the rules.

Over TCP a message is a 4-byte length in network order, then that many bytes, in two sends: two
sends and two receives a round trip are what makes a server let go of the GIL so often. A message
of length 0 ends the run: the server stops serving, and gives no answer.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

HOST = "127.0.0.1"
"""Servers listen on the loopback interface only."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Longest message in bytes; a peer that announces more is cut off."""

HEADER = struct.Struct("!I")

AUTH_KEY = b"giltrace"
"""Key of multiprocessing connections. No secret: it keeps stray peers out of the experiment."""

END = b"\x04"
"""The key that ends a run in a terminal: Ctrl-D."""

DRAWN = b"\0"
"""What a terminal does not show: the server's sign that all of an answer is there."""

_CHUNK = 1024 * 1024


class WireError(Exception):
    """The peer broke the rules or left; its connection is of no further use."""


def log(server: str, peer: str, what: str) -> None:
    """Write one line about a peer to stderr.

    Args:
        server: Name of the server.
        peer: Address of the peer.
        what: What happened and what became of the connection.
    """
    # One write call: lines of several threads do not mix.
    sys.stderr.write(f"giltrace: {server}: {peer}: {what}\n")
    sys.stderr.flush()


def shown(address: Any) -> str:
    """Return a socket address as ``host:port``; ``?`` if there is none."""
    return f"{address[0]}:{address[1]}" if address else "?"


def check_size(size: int) -> int:
    """Return ``size`` if a message may have that many bytes.

    Raises:
        WireError: It is over the limit.
    """
    if size > MAX_MESSAGE:
        raise WireError(f"announced a message of {size} bytes, over the limit of {MAX_MESSAGE}")
    return size


def read_message(connection: socket.socket) -> bytes:
    """Receive one message from a blocking socket.

    Raises:
        WireError: The peer left, or announced too long a message.
        OSError: The connection broke.
    """
    header = _read_exactly(connection, HEADER.size, "between two messages")
    size = check_size(HEADER.unpack(header)[0])
    return _read_exactly(connection, size, "in the middle of a message")


def write_message(connection: socket.socket, payload: bytes) -> None:
    """Send one message to a blocking socket: its length, then its bytes, in two sends.

    Raises:
        OSError: The connection broke.
    """
    connection.sendall(HEADER.pack(len(payload)))
    if payload:
        connection.sendall(payload)


def echo_until_end(connection: socket.socket, server: str, peer: str) -> bool:
    """Echo the messages of one blocking connection, and log why if it ends before its time.

    Args:
        connection: Not closed here.
        server: Name of the server, for the log.
        peer: Address of the peer, for the log.

    Returns:
        Whether the peer ended the run; False if it broke the rules or left.
    """
    try:
        while True:
            message = read_message(connection)
            if not message:
                return True
            write_message(connection, message)
    except (WireError, OSError) as error:
        log(server, peer, f"{error}; connection closed")
        return False


def _read_exactly(connection: socket.socket, size: int, where: str) -> bytes:
    """Receive ``size`` bytes; memory grows with what arrives, not with what was announced."""
    chunk = connection.recv(min(size, _CHUNK)) if size else b""
    if len(chunk) == size:
        return chunk
    data = bytearray()
    while chunk:
        data += chunk
        if len(data) == size:
            return bytes(data)
        chunk = connection.recv(min(size - len(data), _CHUNK))
    if data and size == HEADER.size:
        where = "in the middle of a message"
    raise WireError(f"left {where}")
