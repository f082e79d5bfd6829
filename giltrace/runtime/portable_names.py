"""Numbers for the code objects and C functions that the portable back end meets.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType, FunctionType, ModuleType

from giltrace.runtime import portable_ring as ring
from giltrace.runtime.callables import ALIASES, FUNCTIONS

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from typing import Any

_MOST = 0xFFFF  # numbers have 16 bits, and 0 is unknown
_LASTI_UNKNOWN = 0xFFFF
_HAS_LINETABLE = sys.implementation.name == "cpython" and sys.version_info >= (3, 11)

# C functions that have blocked, and so let the GIL go, if they took long: by module or name, the
# more exact one counts, and how long is long in ns. These do next to nothing but wait.
_WAITING_NS = 50_000
# These also compute, mostly for far less than that. What is on neither list may compute for long.
_WORKING_NS = 1_000_000
_NEVER = 0
_LONG = {
    **dict.fromkeys(
        ("_multiprocessing", "_queue", "_socket", "_thread", "fcntl", "select", "time"), _WAITING_NS
    ),
    **dict.fromkeys(("_io", "_sqlite3", "_ssl", "mmap", "posix", "termios"), _WORKING_NS),
    **dict.fromkeys(
        [
            f"posix.{name}"
            for name in (
                "read",
                "readv",
                "write",
                "writev",
                "wait",
                "wait3",
                "wait4",
                "waitid",
                "waitpid",
            )
        ]
        + [f"_signal.{name}" for name in ("pause", "sigwait", "sigwaitinfo", "sigtimedwait")],
        _WAITING_NS,
    ),
    # They start something else.
    **dict.fromkeys(("_thread.start_new_thread", "_thread.start_joinable_thread"), _NEVER),
}
# What a profile function gets to see is the outermost call from Python to C. The buffered layers
# of files are not in `callables` because they let go only through what is below them. Of these,
# not the methods that may compute for long, as reading a whole file as text does.
_OUTER = {
    "_io.BufferedReader": "peek read read1 readinto readinto1 readline",
    "_io.BufferedRandom": "flush peek read read1 readinto readinto1 readline write",
    "_io.BufferedRWPair": "flush peek read read1 readinto readinto1 readline write",
    "_io.BufferedWriter": "flush write",
    "_io.TextIOWrapper": "flush readline",
}


def blocking() -> dict[str, int]:
    """The C functions that let the GIL go when they take long, and how long that is in ns."""
    found = {"builtins.input": _WORKING_NS}
    for owner, names in _OUTER.items():
        found.update(dict.fromkeys([f"{owner}.{name}" for name in names.split()], _WORKING_NS))
    for module, rows in FUNCTIONS.items():
        for _, prefix, names in rows:
            kind = prefix[:-1]
            owner = f"{module}.{ALIASES.get(kind, kind)}" if kind else module
            for name in names.split():
                full = f"{owner}.{name}"
                long_ns = _LONG.get(full, _LONG.get(module, _NEVER))
                if long_ns:
                    found[full] = long_ns
    return found


def name_of(function: Any) -> str:
    """What C calls a built-in function: ``time.sleep``, ``_socket.socket.recv``; or ``""``."""
    try:
        name = function.__name__
        owner = getattr(function, "__self__", None)
        # By its type: what an object says of its class may be code of the target.
        if owner is None or issubclass(type(owner), ModuleType):
            module = function.__module__
            return f"{module}.{name}" if isinstance(module, str) else str(name)
        kind = owner if issubclass(type(owner), type) else type(owner)
        for base in kind.__mro__:
            if name in base.__dict__ and _is(function, base.__dict__[name]):
                return f"{base.__module__}.{base.__qualname__}.{name}"
        return f"{kind.__module__}.{kind.__qualname__}.{name}"
    except (AttributeError, KeyError, TypeError):
        # No others: a signal handler of the target may run in here, and what it raises is not ours.
        return ""


def _is(function: Any, attribute: object) -> bool:
    """Whether a bound method is this attribute of its class, and not one of the same name."""
    if hasattr(function, "__func__"):  # PyPy
        return function.__func__ is attribute
    return not isinstance(attribute, FunctionType)


class Names:
    """Gives numbers, and collects the records that tell the recorder what they stand for.

    Attributes:
        fresh: records that have not been written yet; appended to and cut at its start only.
    """

    def __init__(self, fresh: list[bytes]) -> None:
        self.fresh = fresh
        # By address, because comparing code objects compares all they hold. Kept, so that no
        # other one gets that address.
        self._codes: dict[int, tuple[int, CodeType]] = {}
        self._functions: dict[tuple[Any, str], tuple[str, int]] = {}
        self._numbers: dict[str, int] = {}
        self._blocking = blocking()

    def words(self, frame: FrameType | None, most: int) -> list[int]:
        """`word` of a frame and of its callers, ``most`` in all."""
        words: list[int] = []
        while frame is not None and len(words) < most:
            words.append(self.word(frame.f_code, max(frame.f_lasti, 0)))
            frame = frame.f_back
        return words

    def word(self, code: CodeType, lasti: int) -> int:
        """``code:16 lasti:16`` of an instruction, by its offset in bytes; -1: not known."""
        known = self._codes.get(id(code))
        number = known[0] if known is not None else self._add_code(code)
        return number | (min(lasti >> 1, _LASTI_UNKNOWN) & _LASTI_UNKNOWN) << 16

    def call(self, function: Any) -> int:
        """The number of a C function, or 0."""
        name, _ = self._known(function)
        number = self._numbers.get(name)
        return self._add_call(name) if number is None else number

    def long_ns(self, function: Any) -> int:
        """After how long this C function has let the GIL go for certain; 0: that is not known."""
        return self._known(function)[1]

    def _known(self, function: Any) -> tuple[str, int]:
        owner = getattr(function, "__self__", None)
        # The name of a method depends on the type, that of a function on the module.
        of_module = owner is None or isinstance(owner, ModuleType)
        where = getattr(function, "__module__", None) if of_module else type(owner)
        if isinstance(owner, type):
            where = owner
        key = (where, getattr(function, "__name__", ""))
        known = self._functions.get(key)
        if known is None:
            name = name_of(function)
            known = self._functions[key] = (name, self._blocking.get(name, 0))
        return known

    def _add_code(self, code: CodeType) -> int:
        number = len(self._codes) + 1
        if number > _MOST:
            return 0
        filename = code.co_filename.encode("utf-8", "surrogatepass")
        qualname = getattr(code, "co_qualname", code.co_name).encode("utf-8", "surrogatepass")
        # That of CPython 3.10 is another one, and PyPy has one of its own.
        if _HAS_LINETABLE:
            kind, covers, table = ring.LINETABLE, 0, code.co_linetable
        else:
            kind, covers, table = ring.LNOTAB, len(code.co_code), code.co_lnotab
        head = ring.CODE_HEAD.pack(
            number, code.co_firstlineno, len(filename), len(qualname), kind, covers
        )
        self.fresh.append(ring.record(ring.CODE, head + filename + qualname + table))
        self._codes[id(code)] = (number, code)
        return number

    def _add_call(self, name: str) -> int:
        number = len(self._numbers) + 1
        if not name or number > _MOST:
            return 0
        raw = name.encode("utf-8", "surrogatepass")
        self.fresh.append(ring.record(ring.CALL, ring.CALL_HEAD.pack(number, 0) + raw))
        self._numbers[name] = number
        return number
