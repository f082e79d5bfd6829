"""A 0MQ REP socket in Python: ``python-zmq``."""

from __future__ import annotations

from typing import Any

from giltrace.scenarios.server import Server
from giltrace.scenarios.wire import HOST, MAX_MESSAGE, log
from giltrace.scenarios.zmq_transport import LINGER_MS, import_zmq


class PythonZmqServer(Server):
    """One message is one 0MQ frame, received and sent in one call each.

    libzmq itself cuts off, without a word, a peer that does not speak its protocol or announces
    too long a frame. A request of several frames is answered with an empty reply.
    """

    name = "python-zmq"
    transport = "zmq"

    def __init__(self) -> None:
        self._zmq = import_zmq()
        self._context: Any = None
        self._socket: Any = None

    def open(self) -> str:
        """Bind to a free port; return the endpoint, ``tcp://host:port``."""
        zmq = self._zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.bind(f"tcp://{HOST}:*")
        return str(self._socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode("ascii"))

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        socket, more = self._socket, self._zmq.RCVMORE
        while True:
            message = socket.recv()
            if socket.getsockopt(more):
                self._refuse()
                continue
            if not message:
                return
            socket.send(message)

    def close(self) -> None:
        """Close the socket and the context."""
        if self._socket is not None:
            self._socket.close()
        if self._context is not None:
            self._context.term()

    def _refuse(self) -> None:
        while self._socket.getsockopt(self._zmq.RCVMORE):
            self._socket.recv()
        log(self.name, "a client", "sent a message of several frames; refused with an empty reply")
        self._socket.send(b"")
