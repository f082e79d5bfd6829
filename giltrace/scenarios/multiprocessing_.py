"""Connections of the standard library's multiprocessing: ``multiprocessing``."""

from __future__ import annotations

from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener

from giltrace.scenarios.server import Server
from giltrace.scenarios.wire import AUTH_KEY, HOST, MAX_MESSAGE, log, shown


class MultiprocessingServer(Server):
    """`recv_bytes` and `send_bytes` of `multiprocessing.connection`, one client after the other."""

    name = "multiprocessing"
    transport = "multiprocessing"

    def __init__(self) -> None:
        self._listener: Listener | None = None

    def open(self) -> str:
        """Listen on a free port; return ``host:port``."""
        # The key turns away a stray peer at once: without it, four bytes of noise that read as
        # a negative length would count as an empty message, which is the end of the run.
        self._listener = Listener((HOST, 0), "AF_INET", backlog=16, authkey=AUTH_KEY)
        return shown(self._listener.address)

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        ended = False
        while not ended:
            connection = self._accept()
            if connection is not None:
                with connection:
                    ended = self._echo_until_end(connection)

    def close(self) -> None:
        """Close the listening socket."""
        if self._listener is not None:
            self._listener.close()

    def _peer(self) -> str:
        assert self._listener is not None
        return shown(self._listener.last_accepted)

    def _accept(self) -> Connection | None:
        """Wait for a client; None if it did not know the key."""
        assert self._listener is not None, "open() comes first"
        try:
            return self._listener.accept()
        except (AuthenticationError, AssertionError, EOFError, OSError) as error:
            why = str(error) or type(error).__name__
            log(self.name, self._peer(), f"no multiprocessing client ({why}); connection closed")
            return None

    def _echo_until_end(self, connection: Connection) -> bool:
        try:
            while True:
                message = connection.recv_bytes(MAX_MESSAGE)
                if not message:
                    return True
                connection.send_bytes(message)
        except EOFError:
            log(self.name, self._peer(), "left between two messages; connection closed")
        except OSError as error:
            log(self.name, self._peer(), f"{error}; connection closed")
        return False
