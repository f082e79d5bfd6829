"""The one exception that giltrace raises for things a user can do something about."""

from __future__ import annotations


class GiltraceError(Exception):
    """A problem to be shown to the user without a traceback.

    Attributes:
        message: What is wrong, one sentence without a final newline.
        hint: What the user can do about it, or ``""``.
        exit_code: Exit status of the command that meets this error.
    """

    exit_code: int = 1

    def __init__(self, message: str, hint: str = "", *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message
