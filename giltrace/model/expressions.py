"""What stands in the source at a place: its expression, its line, and what is called there.

Works on the source lines in the capture alone; a file on this machine may be another version. The
interpreter that reads them may be older than the one that ran them, so syntax it does not know
must be expected, and none of the text can be trusted to be source at all.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from giltrace.model.syntax import called, name_of, parse, unparsed
from giltrace.model.text import ELLIPSIS, printable

if TYPE_CHECKING:
    from giltrace.capture.records import SourceText
    from giltrace.model.tables import Place

TEXT_LIMIT: Final = 120
CALLEE_LIMIT: Final = 80
LINE_LIMIT: Final = 500

_TAB: Final = 4
# More of it is not looked at.
_MOST_LINES: Final = 60
_MOST_AROUND: Final = 1000
# Where a statement may begin and end around an expression that is only a part of it.
_LINES_BEFORE: Final = 12
_LINES_AFTER: Final = 12

_BLOCK: Final = re.compile(r"(?:async\s+)?(?:with|for|def|class|while|try|if)\b")
_CLAUSE: Final = re.compile(r"\b(?:with|for)\b|^\s*@")
_TELLING: Final = re.compile(r"(?:async\s+)?(?:with|for|class|import|from)\b")


@dataclass(frozen=True, slots=True)
class Expression:
    """The source at one place. All of it is one line of printable characters.

    Attributes:
        text: the expression (``conn.recv(65536)``), shortened if it is long; of a statement with
            a block, its head. ``""`` if only the line is known.
        line_text: the line it begins in, with its indentation.
        callee: what is called there, if something is: ``conn.recv``, ``with lock``,
            ``await queue.get``, ``import json``; of a loop, what it iterates over. ``""`` if there
            is no telling. A thread that let go because it had to (at a check point, see
            ``FLAG_AT_CHECK``) was not in that call.
    """

    text: str = ""
    line_text: str = ""
    callee: str = ""


NOTHING: Final = Expression()


_Lines: TypeAlias = Callable[[int], str | None]
"""The lines of one file, by their numbers."""


class Expressions:
    """Expressions by place, each found once. Never raises."""

    def __init__(self, sources: Iterable[SourceText]) -> None:
        """Take the source lines of a capture; of lines given twice, the first count."""
        self._texts: dict[str, list[SourceText]] = {}
        for source in sources:
            self._texts.setdefault(source.filename, []).append(source)
        self._files: dict[str, dict[int, str]] = {}
        self._found: dict[Place, Expression] = {}

    def of(self, place: Place) -> Expression:
        """What stands at ``place``; all empty if its source is not in the capture."""
        found = self._found.get(place)
        if found is None:
            lines = self._file(place.filename).get
            found = self._found[place] = _find(lines, place)
        return found

    def lines(self, filename: str, first: int, last: int) -> list[tuple[int, str]]:
        """Lines around a place with their numbers, printable: those that there are, at most 1,000.

        Args:
            filename: as in the place.
            first: number of the first line.
            last: number of the last.
        """
        lines = self._file(filename)
        first = max(first, 0)
        numbers = range(first, min(last + 1, first + _MOST_AROUND))
        return [(number, _shown(lines[number])) for number in numbers if number in lines]

    def _file(self, filename: str) -> dict[int, str]:
        lines = self._files.get(filename)
        if lines is None:
            lines = self._files[filename] = {}
            for source in self._texts.get(filename, ()):
                for number, line in enumerate(source.text.split("\n"), source.line):
                    lines.setdefault(number, line)
        return lines


@dataclass(frozen=True, slots=True)
class _Piece:
    """The text between the two ends of a place."""

    text: str
    lines: int
    whole: bool
    line: int
    column: int  # UTF-8 bytes, as in the trees of `ast`
    end_line: int
    end_column: int

    def spans(self, node: ast.expr) -> bool:
        """Whether a node is what stands here."""
        return self.begins(node) and (node.end_lineno, node.end_col_offset) == (
            self.end_line,
            self.end_column,
        )

    def begins(self, node: ast.expr | ast.stmt) -> bool:
        """Whether a node begins where this does."""
        return (node.lineno, node.col_offset) == (self.line, self.column)


def _find(lines: _Lines, place: Place) -> Expression:
    line = lines(place.line)
    if line is None:
        return NOTHING
    piece = _cut(lines, place)
    if place.column is None or place.end_column is None:
        text, callee = "", _only_callee(lines, place.line)
    elif piece is None:
        text, callee = "", ""
    else:
        tree = _expression(piece)
        text = _display(piece, tree, lines)
        callee = _callee(piece, tree, lines)
    return Expression(text, _shown(line), printable(callee, CALLEE_LIMIT))


def _shown(line: str) -> str:
    return printable(line.rstrip().expandtabs(_TAB), LINE_LIMIT)


def _cut(lines: _Lines, place: Place) -> _Piece | None:
    """The text at a place; None if it has no columns, they do not fit, or nothing is there."""
    column, end_column = place.column, place.end_column
    end_line = place.line if place.end_line is None else place.end_line
    if column is None or end_column is None or end_line < place.line:
        return None
    parts = []
    for number in range(place.line, min(end_line, place.line + _MOST_LINES) + 1):
        line = lines(number)
        if line is None:
            break
        parts.append(_bytes(line))
    whole = len(parts) == end_line - place.line + 1
    if whole:
        whole = end_column <= len(parts[-1])
        parts[-1] = parts[-1][:end_column]
    parts[0] = parts[0][column:]
    try:
        text = "\n".join(part.decode("utf-8", "surrogatepass") for part in parts)
    except UnicodeDecodeError:
        return None
    if not text.strip():
        return None
    return _Piece(text, len(parts), whole, place.line, column, end_line, end_column)


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "surrogatepass")


def _display(piece: _Piece, tree: ast.expr | None, lines: _Lines) -> str:
    text = piece.text
    cut = not piece.whole
    if tree is None and _BLOCK.match(text):
        text = text.split("\n", 1)[0].rstrip()
        cut = not text.endswith(":") and piece.lines > 1
    elif tree is not None and piece.lines > 1:
        text = unparsed(tree) or text
    text = " ".join(text.split()) if "\n" in text else text.replace("\t", " ").strip()
    if _follows_dot(piece, lines):
        text = f"{ELLIPSIS}.{text}"
    if cut and not text.endswith(ELLIPSIS):
        text = f"{text} {ELLIPSIS}"
    return printable(text, TEXT_LIMIT)


def _callee(piece: _Piece, tree: ast.expr | None, lines: _Lines) -> str:
    match tree:
        case ast.Call() if _follows_dot(piece, lines):
            # The chain begins further up, or there would be more of it here.
            name = _search(piece, lines, _before(piece)[1:], _in_chain)
            return name or f"{ELLIPSIS}.{called(tree)}"
        case ast.Call():
            return called(tree)
        case ast.Await(value=value):
            return f"await {called(value)}".rstrip()
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return called(tree.generators[0].iter) if len(tree.generators) == 1 else ""
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _search(piece, lines, _clauses(piece, lines), _in_clause)
        case None if _TELLING.match(piece.text):
            return _search(piece, lines, [piece.line], _in_clause)
    return ""


def _follows_dot(piece: _Piece, lines: _Lines) -> bool:
    """Whether it is the end of a chain: a call in one that takes several lines has the name only.

    ``all()`` is what the table has of ``session.query(X)`` and, in the next line, ``.all()``.
    """
    before = _bytes(lines(piece.line) or "")[: piece.column].strip()
    above = (lines(piece.line - 1) or "").rstrip("\\ \t")
    return before.endswith(b".") or (not before and above.endswith("."))


_Match: TypeAlias = Callable[[ast.AST, _Piece], str]


def _search(piece: _Piece, lines: _Lines, starts: Iterable[int], match: _Match) -> str:
    """Look for the node that a piece is, in the statement around it.

    Args:
        piece: what to look for.
        lines: the file.
        starts: lines in which the statement may begin, the likeliest first.
        match: the name of a node if it is the one, else ``""``.
    """
    # Of a statement with a block, the head is enough.
    end = piece.line if _BLOCK.match(piece.text) else piece.end_line
    for start in starts:
        tree = _first_tree(lines, start, end)
        if tree is not None:
            return next((name for node in ast.walk(tree) if (name := match(node, piece))), "")
    return ""


def _before(piece: _Piece) -> range:
    return range(piece.line, piece.line - _LINES_BEFORE, -1)


def _clauses(piece: _Piece, lines: _Lines) -> range:
    """Lines in which a loop, a context or a decorator may begin that a piece is part of."""
    for line in _before(piece):
        text = lines(line) or ""
        if _CLAUSE.search(text):
            # One that ends before the piece does not hold it, and the next one out neither.
            ended = line < piece.line and _block_tree([text], line) is not None
            return range(0) if ended else range(line, piece.line - _LINES_BEFORE, -1)
    return range(0)


def _in_chain(node: ast.AST, piece: _Piece) -> str:
    """The full name of what is called, if this is the call at whose last name the piece begins."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    func = node.func
    ends = (func.end_lineno, node.end_lineno, node.end_col_offset)
    begins = (func.end_col_offset or 0) - len(func.attr)
    if (piece.line, piece.end_line, piece.end_column) != ends or piece.column != begins:
        return ""
    return called(node)


def _in_clause(node: ast.AST, piece: _Piece) -> str:
    """What happens at a piece that is no call: a context is entered or left, a loop goes on."""
    match node:
        case ast.With() | ast.AsyncWith():
            items = [item.context_expr for item in node.items]
            if not piece.begins(node):
                items = [item for item in items if piece.spans(item)]
            word = "with" if isinstance(node, ast.With) else "async with"
            return f"{word} {', '.join(map(name_of, items))}" if items else ""
        case ast.For() | ast.AsyncFor():
            here = piece.begins(node) or piece.spans(node.iter)
            return called(node.iter) if here else ""
        case ast.comprehension(iter=values):
            return called(values) if piece.spans(values) else ""
        case ast.ClassDef(name=name) if piece.begins(node):
            return f"class {name}"
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return "".join(name_of(made) for made in node.decorator_list if piece.spans(made))
    return _imported(node, piece)


def _imported(node: ast.AST, piece: _Piece) -> str:
    match node:
        case ast.Import(names=names) if piece.begins(node):
            return f"import {', '.join(alias.name for alias in names)}"
        case ast.ImportFrom(module=module, level=level) if piece.begins(node):
            return f"import {'.' * level}{module or ''}"
    return ""


def _first_tree(lines: _Lines, start: int, end: int) -> ast.Module | None:
    """The tree of the lines from ``start`` to ``end``, or to the next at which they make sense."""
    block: list[str] = []
    for number in range(start, min(end, start + _MOST_LINES) + _LINES_AFTER):
        line = lines(number)
        if line is None:
            return None
        block.append(line)
        tree = _block_tree(block, start) if number >= end else None
        if tree is not None:
            return tree
    return None


def _block_tree(block: list[str], start: int) -> ast.Module | None:
    """The tree of whole lines, of which the last may be the head of a block."""
    indent = block[0][: len(block[0]) - len(block[0].lstrip())]
    # Columns must stay what they are, so what is indented gets a reason to be.
    before = ["if 1:"] if indent else []
    tree = parse("\n".join(before + block))
    if tree is None and ":" in block[-1]:
        tree = parse("\n".join([*before, *block, f"{indent} pass"]))
    if tree is None:
        return None
    return ast.increment_lineno(tree, start - 1 - len(before))


def _only_callee(lines: _Lines, line: int) -> str:
    """What the statement in a line calls, if there is just one call in it."""
    tree = _first_tree(lines, line, line)
    if tree is None:
        return ""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return called(calls[0]) if len(calls) == 1 else ""


def _expression(piece: _Piece) -> ast.expr | None:
    """The tree of a piece, if it is an expression."""
    if not piece.whole:
        return None
    # Its own brackets may not be part of it, and without them a line would end the expression.
    tree = parse(f"({piece.text}\n)")
    match tree.body if tree is not None else []:
        case [ast.Expr(value=value)]:
            return value
    return None
