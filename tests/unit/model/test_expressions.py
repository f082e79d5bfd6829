"""What stands at a place, from positions as interpreters make them and from damaged ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.capture.records import SourceText
from giltrace.model.expressions import NOTHING, Expression, Expressions
from giltrace.model.tables import Place

FILE = "app.py"

# Prints [opname, line, column, end_line, end_column] of each instruction that can let go.
POSITIONS = """
import dis, json, sys, types
def walk(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from walk(const)
NAMES = ("CALL", "BEFORE_", "LOAD_SPECIAL", "FOR_ITER", "SEND", "IMPORT_NAME")
rows = []
for code in walk(compile(sys.stdin.read(), "app.py", "exec")):
    for item in dis.get_instructions(code):
        p = item.positions
        if item.opname.startswith(NAMES) and p.lineno and p.col_offset is not None:
            rows.append([item.opname, p.lineno, p.col_offset, p.end_lineno, p.end_col_offset])
print(json.dumps(rows))
"""

VERSIONS = sorted(
    version
    for version in Path.home().glob(".pyenv/versions/3.*")
    if version.name.split(".")[1].isdecimal()
    and int(version.name.split(".")[1]) >= 11
    and (version / "bin" / "python").exists()
)

PROGRAM = """\
import json, os.path
from . import names
def serve(conn, lock, file, handlers):
    with lock:
        conn.x = 1
        conn.y = 2
    with (
        lock,
        conn.lock as other,
    ):
        pass
    for line in file:
        pass
    found = [name for name in
             file.names]
    (conn
        .query(1)
        .all(2,  # a comment
             3))
    @conn.route
    def inner():
        return 1
    class Handler(conn.base):
        x = 1
    if conn.recv(
        65536):
        handlers["get"](conn)(1)
async def wait(lock, queue):
    async with lock:
        pass
    async for item in queue.items:
        pass
    await queue.get(1)
    await queue
"""


def at(text: str, part: str = "", *, first: int = 1) -> Expression:
    """What stands where ``part`` (all of it, by default) is in ``text``."""
    part = part or text
    start = text.index(part)
    before, through = text[:start], text[: start + len(part)]
    place = Place(
        FILE,
        first + before.count("\n"),
        "f",
        len(before.rpartition("\n")[2].encode()),
        first + through.count("\n"),
        len(through.rpartition("\n")[2].encode()),
    )
    return Expressions([SourceText(FILE, first, text)]).of(place)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_positions_of_real_interpreters(version: Path) -> None:
    """Each instruction that can let the GIL go has the name that people would give it."""
    command = [str(version / "bin" / "python"), "-c", POSITIONS]
    output = subprocess.run(command, input=PROGRAM, capture_output=True, text=True, check=True)
    expressions = Expressions([SourceText(FILE, 1, PROGRAM)])
    found: dict[int, set[str]] = {}
    for _, line, column, end_line, end_column in json.loads(output.stdout):
        place = Place(FILE, line, "f", column, end_line, end_column)
        found.setdefault(line, set()).add(expressions.of(place).callee)
    # Up to 3.12 a position can be the whole statement, from 3.13 on it is the part that matters.
    both = found.pop(7, set()) | found.pop(8, set()) | found.pop(9, set())
    assert both in ({"with lock, conn.lock"}, {"with lock", "with conn.lock"})
    loop = found.pop(14, set()) | found.pop(15, set())
    assert loop == {"file.names"}
    assert found == {
        1: {"import json, os.path"},
        2: {"import ."},
        4: {"with lock"},
        12: {"file"},
        17: {"conn.query"},
        18: {"conn.query().all"},
        20: {"conn.route"},
        23: {"class Handler"},
        25: {"conn.recv"},
        27: {"handlers['get']", "handlers['get']()"},
        29: {"async with lock"},
        31: {"queue.items"},
        33: {"queue.get", "await queue.get"},
        34: {"await queue"},
    }


@pytest.mark.parametrize(
    ("text", "callee"),
    [
        ("f()", "f"),
        ("get()(1)", "get()"),
        ("handlers[name](1)", "handlers[name]"),
        ("handlers[a + b].run()", "handlers[…].run"),
        ("', '.join(lines)", "str.join"),
        ("b''.join(lines)", "bytes.join"),
        ("f'{x}'.encode()", "str.encode"),
        ("[x].sort()", "list.sort"),
        ("(a or b)()", ""),
        ("(a + b).sum()", "(…).sum"),
        ("(lambda: 1)()", "(lambda)"),
        ("(await connect()).send(1)", "(await connect()).send"),
        ("super().run(*args, **kwargs)", "super().run"),
        ("print('a' 'b', end='')", "print"),
        ("f(x for x in y)", "f"),
        ("f(\n  1,  # one\n  2)", "f"),
        ("await read(1)", "await read"),
        ("await (a or b)", "await"),
        ("[f(x) for x in file]", "file"),
        ("{f(x, y) for x in file for y in x}", ""),
        ("a @ b", ""),
        ("name", ""),
        ("return data", ""),
        ("a.b", ""),
        ("x = f()", ""),
        ("'\\d' is x", ""),
        ("f(0x" + "f" * 9000 + ")", "f"),
        ("f[0x" + "f" * 9000 + "]()", "f[…]"),
    ],
)
def test_what_is_called(text: str, callee: str) -> None:
    """Calls have the name of what they call; what is no call has none."""
    assert callee == at(text).callee


@pytest.mark.parametrize(
    ("text", "part", "callee"),
    [
        ("with lock:  # held: briefly", "lock", "with lock"),
        ("with open(x) as f, self.lock: f.read()", "self.lock", "with self.lock"),
        ("\twith lock:\n\t\tx = 1", "lock", "with lock"),
        ("async with a.b as c:", "a.b", "async with a.b"),
        ("for line in file:", "file", "file"),
        ("for line in files[0]: pass", "files[0]", "files[0]"),
        ("@app.route\ndef f():", "app.route", "app.route"),
        ("    x = {k: v\n         for k, v in\n         pairs}", "pairs", "pairs"),
        ("        (a\n          .b()\n          .c())", "c()", "a.b().c"),
        ("a.b().\\\n  c(1)", "c(1)", "a.b().c"),
        ("x = [,\n  .c())", "c()", "….c"),
        ("    import json", "import json", "import json"),
        ("    from .names import (a,\n b)", "from .names import (a,\n b)", "import .names"),
        ("x = 1; import a.b", "import a.b", "import a.b"),
        ("with lock:\n    data = recv", "data", ""),
        ("for name in names:\n    name.x", "name.x", ""),
    ],
)
def test_what_surrounds_it(text: str, part: str, callee: str) -> None:
    """The statement around says what is done with a part that is no call by itself."""
    assert callee == at(text, part, first=7).callee


@pytest.mark.parametrize(
    ("text", "part", "shown"),
    [
        ("data = conn.recv(65536)", "conn.recv(65536)", "conn.recv(65536)"),
        ("x = größe('日本') + 1", "größe('日本')", "größe('日本')"),
        ("f(1,  # one\n\n   'a  b')", "", "f(1, 'a  b')"),
        ("with lock:\n    x = 1", "", "with lock:"),
        ("with (a,\n      b):\n    x = 1", "", "with (a, …"),
        ("a.b().\\\n  c(1)", "c(1)", "….c(1)"),
        ("return (1,\n        2", "", "return (1, 2"),
        ("f('\x1b[31m', '\u202e')", "", r"f('\x1b[31m', '\u202e')"),
        ("f(\t1)", "", "f( 1)"),
        ("f(" + "x" * 9000 + ")", "", "f(" + "x" * 78 + "…" + "x" * 38 + ")"),
    ],
)
def test_text_to_show(text: str, part: str, shown: str) -> None:
    """An expression is shown in one line, printable and not too long."""
    assert shown == at(text, part).text


def test_line_text_is_the_whole_line() -> None:
    """The line has its indentation, but nothing that acts on a terminal."""
    assert r"        x = f()  # \x1b[31m" == at("\t    x = f()  # \x1b[31m  \n", "f()").line_text


def test_without_source() -> None:
    """A capture without source, or without this line of it, has nothing to say."""
    place = Place(FILE, 3, "f", 0, 3, 4)
    assert NOTHING == Expressions([]).of(place)
    assert NOTHING == Expressions([SourceText("other.py", 3, "f(1)")]).of(place)
    assert NOTHING == Expressions([SourceText(FILE, 1, "f(1)\n")]).of(place)
    assert NOTHING == Expressions([SourceText(FILE, 0, "f(1)")]).of(Place())


def test_without_columns() -> None:
    """Of a line alone there is something to say only if it calls one thing."""
    source = SourceText(
        FILE, 1, "    if conn.recv(1):\n        f(g())\n        x = h(\n            1)\n"
    )
    expressions = Expressions([source])
    found = [expressions.of(Place(FILE, line, "f")) for line in (1, 2, 3)]
    assert found == [
        Expression("", "    if conn.recv(1):", "conn.recv"),
        Expression("", "        f(g())", ""),
        Expression("", "        x = h(", "h"),
    ]


@pytest.mark.parametrize(
    "place",
    [
        Place(FILE, 1, "f", 0, 1, 0),
        Place(FILE, 1, "f", 9, 1, 12),
        Place(FILE, 1, "f", 3, 1, 1),
        Place(FILE, 1, "f", 4, 1, 6),
        Place(FILE, 2, "f", 0, 1, 4),
    ],
)
def test_columns_that_do_not_fit(place: Place) -> None:
    """Nothing is cut out where there is nothing, in the middle of a character, or backwards."""
    found = Expressions([SourceText(FILE, 1, "f('é')\nabcd")]).of(place)
    assert ("", "") == (found.text, found.callee)


def test_source_that_ends_too_early() -> None:
    """What is not all there is shown as far as it goes, and its callee is not guessed."""
    expressions = Expressions([SourceText(FILE, 5, "f(a,\n  b,")])
    found = expressions.of(Place(FILE, 5, "f", 0, 4_000_000_000, 3))
    assert Expression("f(a, b, …", "f(a,", "") == found
    cut = Expressions([SourceText(FILE, 5, "f(aaaa…")]).of(Place(FILE, 5, "f", 0, 5, 900))
    assert Expression("f(aaaa…", "f(aaaa…", "") == cut


def test_lines_around() -> None:
    """The lines of a file that the capture has, from all its pieces, printable."""
    sources = [SourceText(FILE, 2, "a\nb\x1b"), SourceText(FILE, 3, "other\nc")]
    expressions = Expressions(sources)
    expected = [(2, "a"), (3, r"b\x1b"), (4, "c")]
    assert expected == expressions.lines(FILE, 1, 5)
    assert expected == expressions.lines(FILE, -(1 << 60), 1 << 60)
    assert [] == expressions.lines("other.py", 1, 5)


def test_equal_places_are_looked_at_once() -> None:
    """A place that is asked for again costs a look into a dict."""
    expressions = Expressions([SourceText(FILE, 1, "f()")])
    assert expressions.of(Place(FILE, 1, "f", 0, 1, 3)) is expressions.of(
        Place(FILE, 1, "f", 0, 1, 3)
    )


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9000 + ")" * 9000,
        "[" * 150 + "]" * 150,
        "-" * 19_000 + "1",
        "not " * 4900 + "x",
        "a" + ".b" * 9000 + "()",
        "f" + "()" * 9000,
        "a" + "+a" * 9000,
        "await " * 3000 + "x",
        "lambda: " * 2400 + "x",
        "f(\0)",
        "f('\ud800')",
        "f'{" * 100 + "}'" * 100,
        "x" * 200_000,
        "\\",
        "'''",
    ],
    ids=lambda text: text[:8].encode("unicode_escape").decode(),
)
def test_source_made_to_break_a_parser(text: str) -> None:
    """Whatever the parser says of it, there is an answer."""
    width = len(text.encode("utf-8", "surrogatepass"))
    found = Expressions([SourceText(FILE, 1, text)]).of(Place(FILE, 1, "f", 0, 1, width))
    assert len(found.text) <= 120
    assert len(found.callee) <= 80


WORDS = (
    "with ,for , in ,lock,f(,),:,\n,    ,\t,.,[,],@,async ,await ,import ,class ,def ,"
    "',é,\x1b,\ud800,\\,#"
)


@given(
    st.lists(st.sampled_from(WORDS.split(",")), max_size=25).map("".join),
    st.tuples(*[st.integers(0, 5)] * 2),
    st.tuples(*[st.integers(0, 30)] * 2),
    st.integers(0, 3),
)
def test_any_text_at_any_place(
    text: str, lines: tuple[int, int], columns: tuple[int, int], first: int
) -> None:
    """Never an exception, always printable and of limited length."""
    place = Place(FILE, lines[0], "f", columns[0], sum(lines), columns[1])
    found = Expressions([SourceText(FILE, first, text)]).of(place)
    for shown, limit in ((found.text, 120), (found.line_text, 500), (found.callee, 80)):
        assert shown.isprintable()
        assert len(shown) <= limit
