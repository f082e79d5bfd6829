"""Trees of source text that cannot be trusted to be source, and the names of what they call."""

from __future__ import annotations

import ast
import warnings
from typing import Final

from giltrace.model.text import ELLIPSIS

_MOST_PARSED: Final = 10_000
_DEEPEST: Final = 16
_LONGEST_INDEX: Final = 16
_ERRORS: Final = (SyntaxError, ValueError, RecursionError, MemoryError)
_NAMELESS: Final = f"({ELLIPSIS})"


def parse(text: str) -> ast.Module | None:
    """The tree of some text; None if it is not Python, or too long."""
    if len(text) > _MOST_PARSED:
        return None
    try:
        with warnings.catch_warnings():
            # Escapes and comparisons that are out of fashion are the author's affair.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except _ERRORS:
        return None


def unparsed(tree: ast.expr) -> str:
    """An expression in one line; ``""`` if it cannot be written."""
    try:
        return ast.unparse(tree)
    except _ERRORS:
        return ""


def called(node: ast.expr) -> str:
    """The name of what an expression calls, or of what it is; ``""`` if it has none."""
    name = name_of(node.func if isinstance(node, ast.Call) else node)
    return "" if name == _NAMELESS else name


def name_of(node: ast.expr, depth: int = 0) -> str:
    """What people would call a value: ``conn.recv``, ``handlers[key]``, ``connect().send``."""
    if depth > _DEEPEST:
        return ELLIPSIS
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{name_of(value, depth + 1)}.{attr}"
        case ast.Call(func=func):
            return f"{name_of(func, depth + 1)}()"
        case ast.Subscript(value=value, slice=index):
            return f"{name_of(value, depth + 1)}[{_index(index)}]"
        case ast.Await(value=value):
            return f"(await {name_of(value, depth + 1)})"
    return _literal(node)


def _literal(node: ast.expr) -> str:
    match node:
        case ast.JoinedStr():
            return "str"
        case ast.Constant(value=value):
            return type(value).__name__
        case ast.List() | ast.ListComp():
            return "list"
        case ast.Dict() | ast.DictComp():
            return "dict"
        case ast.Lambda():
            return "(lambda)"
    return _NAMELESS


def _index(node: ast.expr) -> str:
    match node:
        case ast.Name(id=text) if len(text) <= _LONGEST_INDEX:
            return text
        case ast.Constant(value=int() as number) if number.bit_length() < 64:
            return repr(number)
        case ast.Constant(value=str() as text) if len(text) <= _LONGEST_INDEX:
            return repr(text)
    return ELLIPSIS
