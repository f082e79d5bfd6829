"""What this process tells the recorder about itself, once, as JSON.

The json module is not used: it would bring a dozen modules into a target that may not want them.
"""

from __future__ import annotations

import os
import sys

try:
    from _json import encode_basestring_ascii as _quote
except ImportError:  # PyPy

    def _quote(text: str, /) -> str:
        """``text`` in JSON's quotes, each UTF-16 unit of it escaped unless it is plain."""
        units = text.encode("utf-16-le", "surrogatepass")
        codes = [units[at] | units[at + 1] << 8 for at in range(0, len(units), 2)]
        return '"' + "".join(map(_escape, codes)) + '"'

    def _escape(code: int) -> str:
        return chr(code) if 32 <= code < 127 and code not in b'"\\' else "\\u%04x" % code


def encode(limit: int, notes: tuple[str, ...] = ()) -> bytes:
    """The facts as JSON in at most ``limit`` bytes; a long command line is cut short.

    ``notes`` are sentences for the user; there are few, and they are not long.
    """
    argv = _argv()
    while True:
        text = _encode(argv, notes)
        if len(text) <= limit:
            return text
        argv = [arg[: len(arg) // 2] for arg in argv[: max(1, len(argv) // 2)]]


def _encode(argv: list[str], notes: tuple[str, ...]) -> bytes:
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
    if notes:
        facts["notes"] = "[" + ",".join(map(_quote, notes)) + "]"
    body = ",".join(f'"{key}":{value}' for key, value in facts.items())
    return ("{" + body + "}").encode("ascii")


def _argv() -> list[str]:
    """The command line, as typed."""
    if hasattr(sys, "orig_argv"):
        return list(sys.orig_argv)
    try:  # before Python 3.10
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
        return [os.fsdecode(word) for word in words]
    except OSError:
        return [sys.executable, *getattr(sys, "argv", [])]
