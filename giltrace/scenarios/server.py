"""What every server of the experiment is."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import ClassVar

from giltrace.scenarios import load as loads
from giltrace.scenarios.wire import HOST, shown


class Server(ABC):
    """An echo server: made, loaded, opened, served, closed; in this order, once each.

    The constructor takes no arguments and raises `ScenarioError` if the server cannot run here.

    Attributes:
        name: Its name in the registry.
        transport: How its client talks to it: ``tcp``, ``zmq``, ``multiprocessing`` or
            ``terminal``.
        holds_gil: Whether its ``spin`` and ``fib`` loads need the GIL.
    """

    name: ClassVar[str]
    transport: ClassVar[str]
    holds_gil: ClassVar[bool] = True

    def start_load(self, kind: str, count: int, deadline_ns: int | None = None) -> loads.Load:
        """Start the CPU load beside the server: in this process, unless it serves in another.

        Args:
            kind: One of `load.KINDS`.
            count: How many threads or processes; may be 0.
            deadline_ns: When the load ends by itself, on CLOCK_MONOTONIC.
        """
        return loads.start(kind, count, deadline_ns)

    def unloaded_rate(self, kind: str, seconds: float) -> float:
        """Measure how fast one load of this kind runs with nothing beside it, in iterations/s."""
        return loads.unloaded_rate(kind, seconds)

    @abstractmethod
    def open(self) -> str:
        """Listen on a free port of the loopback interface; return the endpoint for clients."""

    @abstractmethod
    def serve(self) -> None:
        """Echo messages until a client ends the run.

        A client that breaks the rules or leaves costs one line on stderr and its connection.

        Raises:
            ScenarioError: The server itself failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of every resource; harmless when never opened, or when called again."""


class TcpServer(Server):
    """A server on a listening TCP socket, ``self.listener``, which `open` makes."""

    transport = "tcp"
    listener: socket.socket | None = None

    def open(self) -> str:
        """Listen on a free port; return ``host:port``."""
        self.listener = socket.create_server((HOST, 0), backlog=16)
        return shown(self.listener.getsockname())

    def close(self) -> None:
        """Close the listening socket."""
        if self.listener is not None:
            self.listener.close()

    def accept(self) -> tuple[socket.socket, str]:
        """Wait for a client; return its connection, with Nagle's delay off, and its address."""
        assert self.listener is not None, "open() comes first"
        while True:
            try:
                connection, address = self.listener.accept()
                return tune(connection), shown(address)
            except ConnectionError:
                continue  # it left before it was accepted: nobody to serve, nobody to name


def tune(connection: socket.socket) -> socket.socket:
    """Turn Nagle's algorithm off, so that the two sends of a message leave at once."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # some systems refuse this once the peer has left; the first receive will say so
    return connection
