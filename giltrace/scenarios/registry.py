"""The servers by name. A new server is one new module and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.server import Server

# Imported by name when asked for: one server's needs are no other's.
_SERVERS = {
    "c-zmq": "giltrace.scenarios.c_zmq:CZmqServer",
    "python-zmq": "giltrace.scenarios.python_zmq:PythonZmqServer",
    "multiprocessing": "giltrace.scenarios.multiprocessing_:MultiprocessingServer",
    "blocking": "giltrace.scenarios.blocking:BlockingServer",
    "nonblocking": "giltrace.scenarios.nonblocking:NonblockingServer",
    "asyncio": "giltrace.scenarios.asyncio_:AsyncioServer",
    "threadpool": "giltrace.scenarios.threadpool:ThreadPoolServer",
    "keystroke": "giltrace.scenarios.keystroke:KeystrokeServer",
}


def names() -> tuple[str, ...]:
    """Return the names of all servers, the C server first."""
    return tuple(_SERVERS)


def get(name: str) -> type[Server]:
    """Return the class of the server with this name.

    Raises:
        ScenarioError: There is none.
    """
    try:
        module, _, qualname = _SERVERS[name].partition(":")
    except KeyError:
        known = ", ".join(names())
        raise ScenarioError(
            f"there is no scenario named {name!r}", f"Choose one of: {known}."
        ) from None
    return cast("type[Server]", getattr(import_module(module), qualname))
