"""Blocking sockets, each connection on a thread of a pool: ``threadpool``."""

from __future__ import annotations

import selectors
import socket
from concurrent.futures import ThreadPoolExecutor

from giltrace.scenarios.server import TcpServer
from giltrace.scenarios.wire import echo_until_end

WORKERS = 8
"""Connections served at the same time."""


class ThreadPoolServer(TcpServer):
    """The main thread accepts, a pool of threads serves."""

    name = "threadpool"

    def __init__(self) -> None:
        self._connections: set[socket.socket] = set()
        # A worker that saw the end of the run wakes the accepting thread by closing one side.
        self._wake, self._woken = socket.socketpair()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="server")

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        assert self.listener is not None, "open() comes first"
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self.listener for key, _ in selector.select()):
                connection, peer = self.accept()
                self._connections.add(connection)
                self._pool.submit(self._work, connection, peer)

    def close(self) -> None:
        """Close every socket and wait for the workers."""
        super().close()
        for connection in tuple(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)  # ends a worker's blocking call
            except OSError:
                pass  # the peer was faster
        self._pool.shutdown()
        self._wake.close()
        self._woken.close()

    def _work(self, connection: socket.socket, peer: str) -> None:
        with connection:
            ended = echo_until_end(connection, self.name, peer)
        self._connections.discard(connection)
        if ended:
            self._wake.close()
