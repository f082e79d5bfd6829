"""Letting releases carry the name of the C call they are made in.

The core interposes on the functions listed in `callables`: those of modules that are there, and
those of extension modules as they are imported. Nothing is imported for that.
"""

from __future__ import annotations

import sys

# As the interpreter has them from its start on: `importlib.machinery` would be one more import.
from _frozen_importlib import BuiltinImporter
from _frozen_importlib_external import ExtensionFileLoader
from types import ModuleType
from typing import Any

from giltrace import _core
from giltrace.runtime.callables import ALIASES, FUNCTIONS

_Loader: Any = ExtensionFileLoader
_Builtin: Any = BuiltinImporter
_saved: list[tuple[Any, Any, Any]] = []  # where, ours, theirs


def watch() -> None:
    """Name calls from now on. Again: names what has come since."""
    for name in FUNCTIONS:
        module = sys.modules.get(name)
        if isinstance(module, ModuleType):
            _interpose(name, module)
    if not _saved:
        _wrap()


def unwatch() -> None:
    """Put everything back as found, but for what someone else has wrapped since."""
    for where, ours, theirs in _saved:
        if where.__dict__.get("exec_module") is ours:
            where.exec_module = theirs
    _saved.clear()
    _core.restore()


def _wrap() -> None:
    load, load_builtin = _Loader.__dict__["exec_module"], _Builtin.__dict__["exec_module"]

    def exec_module(self: ExtensionFileLoader, module: ModuleType) -> None:
        load(self, module)
        if _saved:  # else someone who wrapped us still calls us
            _interpose(self.name, module)

    def exec_builtin(module: ModuleType) -> None:
        load_builtin.__func__(module)
        if _saved:
            _interpose(getattr(module.__spec__, "name", ""), module)

    _replace(_Loader, exec_module, load)
    if isinstance(load_builtin, staticmethod):
        _replace(_Builtin, staticmethod(exec_builtin), load_builtin)


def _replace(where: Any, ours: Any, theirs: Any) -> None:
    _saved.append((where, ours, theirs))
    where.exec_module = ours


def _interpose(name: str, module: ModuleType) -> None:
    # Not by its `__name__`: that of `_io` is "io" in CPython 3.11.
    for fd, prefix, names in FUNCTIONS.get(name, ()):
        kind = prefix[:-1]
        owner = getattr(vars(module).get(kind), "__dict__", {}) if kind else vars(module)
        known_as = f"{name}.{ALIASES.get(kind, kind)}." if kind else f"{name}."
        for attribute in names.split():
            function = owner.get(attribute)
            if function is not None:
                _core.interpose(function, known_as + attribute, fd)
