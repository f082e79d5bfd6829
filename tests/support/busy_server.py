"""A server with a CPU-bound thread, under requests from several clients all the time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.python import environment

_CLIENTS = 3
_SERVER = """
import json, socketserver, sys, threading

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"state\\n" == line and state() or line)

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

before = dict(vars(threading.Thread))

def state():
    had = {name for name in sys.modules if name.partition(".")[0] == "giltrace"}
    maps = open("/proc/self/maps").read()
    from giltrace import _core
    state = _core.state()
    for name in [n for n in sys.modules if n.partition(".")[0] == "giltrace" and n not in had]:
        del sys.modules[name]
    return json.dumps({
        "installed": state["installed"],
        "interposed": state["interposed"],
        "arena": ".arena" in maps,
        "modules": sorted(had),
        "names": dict(vars(threading.Thread)) == before,
    }).encode() + b"\\n"

def burn():
    while True:
        sum(range(2000))

# Attaching waits for the GIL some hundred times, as all do here: for less long each time.
sys.setswitchinterval(0.0005)
threading.Thread(target=burn, daemon=True, name="burner").start()
with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever(poll_interval=60)
"""


class BusyServer:
    """The server and its clients.

    Attributes:
        pid: its process id.
    """

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.pid = process.pid
        self._process = process
        self._port = port
        self._stop = threading.Event()
        self._answered = [0] * _CLIENTS
        self._failures: list[str] = []
        self._clients = [threading.Thread(target=self._ask, args=(i,)) for i in range(_CLIENTS)]
        for client in self._clients:
            client.start()

    def left_alone(self) -> bool:
        """Whether the server has nothing of giltrace in it, by its own account."""
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(b"state\n")
            found = json.loads(connection.makefile().readline())
        assert self._process.poll() is None
        expected = {"installed": False, "interposed": 0, "arena": False, "modules": []}
        assert found == expected | {"names": True}
        return True

    def answered(self) -> int:
        """How many requests were answered, once all clients have stopped and none has failed."""
        self.stop()
        assert self._failures == []
        assert self._process.poll() is None
        return min(self._answered)

    def stop(self) -> None:
        """Stop the clients, each after an answer."""
        self._stop.set()
        for client in self._clients:
            client.join()

    def _ask(self, client: int) -> None:
        number = 0
        try:
            with socket.create_connection(("127.0.0.1", self._port)) as connection:
                replies = connection.makefile("rb")
                while not self._stop.is_set():
                    request = f"{client}: {number}\n".encode()
                    connection.sendall(request)
                    reply = replies.readline()
                    if reply != request:
                        self._failures.append(f"{request!r} was answered by {reply!r}")
                        return
                    number += 1
                    self._answered[client] = number
        except OSError as error:
            self._failures.append(str(error))


@contextmanager
def busy_server() -> Iterator[BusyServer]:
    """A server under load while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout is not None
            server = BusyServer(process, int(process.stdout.readline()))
            try:
                yield server
            finally:
                server.stop()
        finally:
            process.kill()
