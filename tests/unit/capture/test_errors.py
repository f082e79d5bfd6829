"""The exception that carries a message and a hint to the user."""

from __future__ import annotations

import pickle

from giltrace.capture import CaptureError
from giltrace.errors import GiltraceError


def test_error_carries_message_hint_and_exit_code() -> None:
    """What the command line shows is what the raiser said."""
    error = GiltraceError("no such thing", "Look elsewhere.", exit_code=3)
    assert ("no such thing", "Look elsewhere.", 3) == (error.message, error.hint, error.exit_code)
    assert str(error) == "no such thing"


def test_error_has_defaults_and_a_subclass_can_set_the_exit_code() -> None:
    """Without a hint it is empty, and the exit code is the class's."""

    class Worse(GiltraceError):
        exit_code = 7

    assert ("", 1) == (GiltraceError("bad").hint, GiltraceError("bad").exit_code)
    assert Worse("bad").exit_code == 7


def test_error_survives_pickling() -> None:
    """An error can cross a process boundary with all it says."""
    copy = pickle.loads(pickle.dumps(CaptureError("bad", "do this", exit_code=4)))
    assert (CaptureError, "bad", "do this", 4) == (
        type(copy),
        copy.message,
        copy.hint,
        copy.exit_code,
    )
