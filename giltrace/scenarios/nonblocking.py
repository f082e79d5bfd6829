"""Nonblocking sockets and a selector, all clients on one thread: ``nonblocking``."""

from __future__ import annotations

import selectors
import socket
from collections import deque

from giltrace.scenarios.server import TcpServer
from giltrace.scenarios.wire import HEADER, WireError, check_size, log

_CHUNK = 64 * 1024


class NonblockingServer(TcpServer):
    """An event loop of its own: wait for readiness, then receive and send what goes through."""

    name = "nonblocking"

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()

    def open(self) -> str:
        """Listen on a free port; return ``host:port``."""
        endpoint = super().open()
        assert self.listener is not None
        self.listener.setblocking(False)
        self._selector.register(self.listener, selectors.EVENT_READ)
        return endpoint

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        ended = False
        while not ended:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._accept()
                elif self._step(key.data):
                    ended = True

    def close(self) -> None:
        """Close every socket and the selector."""
        for connection in tuple(self._connections):
            self._drop(connection)
        self._selector.close()
        super().close()

    def _accept(self) -> None:
        try:
            sock, peer = self.accept()
        except BlockingIOError:
            return  # it was ready, and left
        sock.setblocking(False)
        connection = _Connection(sock, peer)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _step(self, connection: _Connection) -> bool:
        """Move one connection on; return whether it ended the run."""
        try:
            ended = connection.step()
        except (WireError, OSError) as error:
            log(self.name, connection.peer, f"{error}; connection closed")
            self._drop(connection)
            return False
        if ended:
            self._drop(connection)
        elif connection.interest != connection.registered:
            self._selector.modify(connection.sock, connection.interest, connection)
            connection.registered = connection.interest
        return ended

    def _drop(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()


class _Connection:
    """Bytes received but not yet a message, and bytes not yet sent."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock = sock
        self.peer = peer
        self.registered = selectors.EVENT_READ
        self._inbox = bytearray()
        self._outbox: deque[memoryview] = deque()
        self._ended = False

    @property
    def interest(self) -> int:
        """What to wait for: a peer that does not read is not read from either."""
        return selectors.EVENT_WRITE if self._outbox else selectors.EVENT_READ

    def step(self) -> bool:
        """Receive or send once, then go on as far as that leads; return whether the run ended."""
        if not self._outbox:
            self._receive()
        self._send()
        while not self._outbox and not self._ended and self._take_message():
            self._send()
        return self._ended

    def _receive(self) -> None:
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise WireError(
                "left in the middle of a message" if self._inbox else "left between two messages"
            )
        self._inbox += data

    def _take_message(self) -> bool:
        """Queue the echo of the first whole message; return whether there was one."""
        if len(self._inbox) < HEADER.size:
            return False
        size = check_size(HEADER.unpack_from(self._inbox)[0])
        stop = HEADER.size + size
        if len(self._inbox) < stop:
            return False
        message = memoryview(bytes(self._inbox[:stop]))
        del self._inbox[:stop]
        if size:
            self._outbox += (message[: HEADER.size], message[HEADER.size :])
        else:
            self._ended = True
        return True

    def _send(self) -> None:
        while self._outbox:
            try:
                sent = self.sock.send(self._outbox[0])
            except BlockingIOError:
                return
            rest = self._outbox.popleft()[sent:]
            if rest:
                self._outbox.appendleft(rest)
