"""What the portable back end calls C functions."""

from __future__ import annotations

import time

import pytest

from giltrace.runtime.portable_names import name_of


class _StruckError(Exception):
    """As a signal handler may raise it, at any instruction."""


class _Odd:
    """Something callable, in the middle of whose naming a signal arrives."""

    @property
    def __name__(self) -> str:
        raise _StruckError


class _Shy:
    """An object that claims another class than it has, with code of its own."""

    @property
    def __class__(self) -> type:
        raise _StruckError

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise AssertionError(kind)


class _Method:
    """A C function of such an object."""

    def __init__(self) -> None:
        self.__name__ = "method"
        self.__self__ = _Shy()


def test_functions_and_methods() -> None:
    """A function is called by its module, a method by its class."""
    assert ["time.sleep", "builtins.list.append", ""] == [
        name_of(function) for function in (time.sleep, [].append, object())
    ]


def test_what_a_signal_handler_raises_goes_on_its_way() -> None:
    """Swallowed here, it would never reach the program that waits for it."""
    with pytest.raises(_StruckError):
        name_of(_Odd())


def test_no_code_of_the_target_is_run() -> None:
    """An object is not asked for its class, which a proxy answers as it likes."""
    assert name_of(_Method()).endswith("._Shy.method")
