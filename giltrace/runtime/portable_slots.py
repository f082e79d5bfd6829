"""Profile functions and the slots they are in, for the portable back end.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Profile = Callable[..., None]

_OURS = object()


def mark(function: Profile) -> Profile:
    """Have a profile function known as one of a recording's."""
    function.belongs = _OURS  # type: ignore[attr-defined]
    return function


def is_ours(function: object) -> bool:
    """Whether a profile function belongs to a recording."""
    return getattr(function, "belongs", None) is _OURS


def of_new_threads() -> object:
    """What `threading.setprofile` was given."""
    return getattr(threading, "_profile_hook", None)


def vacate() -> None:
    """Empty this thread's slot, if what is in there is ours."""
    if is_ours(sys.getprofile()):
        sys.setprofile(None)


def describe(function: Any) -> str:
    """Who a profile function belongs to, as ``module.name``."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def taken(function: object, slot: str, unseen: str) -> str:
    """A sentence on who has taken one of ours away, and on what is not seen because of that."""
    who = "something has taken away" if function is None else f"{describe(function)} has taken"
    return f"{who} the profile function {slot}: what {unseen} is not seen"
