"""pyzmq, imported only when a 0MQ server or client is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from giltrace.scenarios.errors import ScenarioError

if TYPE_CHECKING:
    from types import ModuleType

LINGER_MS = 1000
"""How long a closing socket tries to deliver what was sent."""


def import_zmq() -> ModuleType:
    """Return the `zmq` module.

    Raises:
        ScenarioError: It is not installed for this interpreter.
    """
    try:
        import zmq
    except ImportError as error:
        raise ScenarioError(
            f"the 0MQ scenarios need pyzmq, which cannot be imported ({error})",
            "Install it for this interpreter: python -m pip install pyzmq",
        ) from error
    return zmq
