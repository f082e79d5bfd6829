"""What this process tells the recorder about itself, once, as JSON.

The json module is not used: it would bring a dozen modules into a target that may not want them.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii as _quote


def encode(limit: int) -> bytes:
    """The facts as JSON in at most ``limit`` bytes; a long command line is cut short."""
    argv = list(sys.orig_argv)
    while True:
        text = _encode(argv)
        if len(text) <= limit:
            return text
        argv = [arg[: len(arg) // 2] for arg in argv[: max(1, len(argv) // 2)]]


def _encode(argv: list[str]) -> bytes:
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    facts = {
        "ppid": str(os.getppid()),
        "python": _quote(sys.version.split()[0]),
        "implementation": _quote(sys.implementation.name),
        "executable": _quote(sys.executable or ""),
        "argv": "[" + ",".join(map(_quote, argv)) + "]",
        "switch_interval_ns": str(round(sys.getswitchinterval() * 1e9)),
        "gil_enabled": "true" if gil_enabled else "false",
    }
    body = ",".join(f'"{key}":{value}' for key, value in facts.items())
    return ("{" + body + "}").encode("ascii")
