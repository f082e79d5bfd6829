"""Blocking sockets, one client after the other: ``blocking``."""

from __future__ import annotations

from giltrace.scenarios.server import TcpServer
from giltrace.scenarios.wire import echo_until_end


class BlockingServer(TcpServer):
    """Serves each connection to its end before it accepts the next."""

    name = "blocking"

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        ended = False
        while not ended:
            connection, peer = self.accept()
            with connection:
                ended = echo_until_end(connection, self.name, peer)
