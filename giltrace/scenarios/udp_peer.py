"""The other end of the latency and bandwidth measures, a process of its own.

    python -m giltrace.scenarios.udp_peer ping HOST:PORT SECONDS
    python -m giltrace.scenarios.udp_peer echo HOST:PORT SECONDS

``ping`` sends the time (CLOCK_MONOTONIC, ns) every 0.1 s. ``echo`` sends 1,024 bytes and waits for
them to come back, over and over. Both end with an empty datagram and print a JSON object. The end
of stdin ends them before.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any, Dict

from giltrace.scenarios.children import tell_parent, when_stdin_ends

PING_EVERY_S = 0.1
ECHO_BYTES = 1024
_LOST_S = 5.0


def ping(peer: socket.socket, seconds: float) -> Dict[str, Any]:
    """Send the time at regular instants; return how often."""
    start = time.monotonic()
    count = 0
    while count * PING_EVERY_S < seconds:
        count += 1
        time.sleep(max(0.0, start + count * PING_EVERY_S - time.monotonic()))
        peer.send(str(time.monotonic_ns()).encode("ascii"))
    return {"sent": count}


def echo(peer: socket.socket, seconds: float) -> Dict[str, Any]:
    """Make round trips for so long; return how many, and how long it really took."""
    peer.settimeout(_LOST_S)
    payload = bytes(ECHO_BYTES)
    start_ns = time.monotonic_ns()
    count = lost = 0
    while time.monotonic_ns() - start_ns < seconds * 1e9:
        peer.send(payload)
        try:
            peer.recv(ECHO_BYTES)
            count += 1
        except socket.timeout:  # noqa: UP041 - not yet an alias in 3.9
            lost += 1
    return {"echoes": count, "lost": lost, "seconds": (time.monotonic_ns() - start_ns) / 1e9}


def main(what: str, address: str, seconds: str) -> None:
    """Run the peer; see the module."""
    when_stdin_ends(lambda: os._exit(1))
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((host, int(port)))
        answer = {"ping": ping, "echo": echo}[what](peer, float(seconds))
        peer.send(b"")
    tell_parent(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
