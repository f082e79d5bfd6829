"""Our own decoder of line tables against known and damaged ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from giltrace.capture.events import LASTI_UNKNOWN
from giltrace.capture.linetable import UNKNOWN, LineTable, Position, position

# One entry of each form, from line 10: short, one-line 0 to 2, long, no columns, none.
EACH_FORM = bytes.fromhex("81 35  d0 05 09  d8 01 02  e0 03 04  f2 03 42 01 05 0a  e9 04  f8")

DUMP = """
import json, sys, types
def walk(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from walk(const)
for name in ("argparse", "dataclasses", "enum", "asyncio.base_events", "typing", "_pydecimal"):
    file = __import__(name, fromlist=["x"]).__file__
    with open(file, "rb") as source:
        module = compile(source.read(), file, "exec")
    for code in walk(module):
        positions = list(code.co_positions())
        print(json.dumps([code.co_linetable.hex(), code.co_firstlineno, positions]))
"""

VERSIONS = sorted(
    version
    for version in Path.home().glob(".pyenv/versions/3.*")
    if version.name.split(".")[1].isdecimal()
    and int(version.name.split(".")[1]) >= 11
    and (version / "bin" / "python").exists()
)


def positions(table: bytes, firstlineno: int) -> list[tuple[int | None, ...]]:
    """The position of each code unit that the table covers."""
    decoded = LineTable(table, firstlineno)
    return [tuple(decoded.position(unit)) for unit in range(decoded.units)]


def test_each_form_of_entry() -> None:
    """Lines are deltas, columns absolute, and an entry covers its length in code units."""
    assert positions(EACH_FORM, 10) == [
        (10, 10, 3, 8),
        (10, 10, 3, 8),
        (10, 10, 5, 9),
        (11, 11, 1, 2),
        (13, 13, 3, 4),
        (12, 78, 4, 9),
        (12, 78, 4, 9),
        (12, 78, 4, 9),
        (14, 14, None, None),
        (14, 14, None, None),
        (None, None, None, None),
    ]


def test_position_of_one_instruction() -> None:
    """The shortcut by table, first line and instruction gives the same answer."""
    assert position(EACH_FORM, 10, 5) == Position(12, 78, 4, 9)


def test_outside_the_table_is_unknown() -> None:
    """Beyond the end, before the start and at the unknown instruction there is no position."""
    assert [position(EACH_FORM, 10, lasti) for lasti in (11, -1, LASTI_UNKNOWN)] == [UNKNOWN] * 3
    assert position(b"", 1, 0) == UNKNOWN


@pytest.mark.parametrize(
    "damage",
    ["", "05", "80", "80 85", "d0 05", "d0 05 89", "f0", "f0 02", "f0 42", "e8 7f 7f 7f 7f 7f 7f"],
)
def test_damage_ends_the_table(damage: str) -> None:
    """What comes before a damaged entry is kept, the rest is unknown."""
    good = bytes.fromhex("81 35")
    assert positions(good + bytes.fromhex(damage), 10) == [(10, 10, 3, 8)] * 2


def test_lines_out_of_range_are_none_but_counting_goes_on() -> None:
    """An absurd line hides its own position only."""
    table = bytes.fromhex("e8 29  e8 28")  # 20 lines back, 20 lines on
    assert positions(table, 10) == [(None, None, None, None), (10, 10, None, None)]
    assert positions(bytes.fromhex("80 35"), 0xFFFFFFFF) == [(None, None, None, None)]


def test_a_huge_table_is_decoded_only_as_far_as_lasti_reaches() -> None:
    """Memory for one table is bounded by the 16 bits of an instruction number."""
    table = LineTable(b"\x87\x35" * 1_000_000, 10)
    assert table.units == LASTI_UNKNOWN
    assert table.position(LASTI_UNKNOWN - 1) == Position(10, 10, 3, 8)
    assert table.position(LASTI_UNKNOWN) == UNKNOWN


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("options", [(), ("-X", "no_debug_ranges")], ids=["full", "lines-only"])
def test_agrees_with_other_interpreters(version: Path, options: tuple[str, ...]) -> None:
    """For code of several stdlib modules, every position is what that interpreter says."""
    done = subprocess.run(
        [version / "bin" / "python", "-I", *options, "-c", DUMP],
        capture_output=True,
        text=True,
        check=True,
    )
    tables = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tables) > 500
    for table, firstlineno, expected in tables:
        assert positions(bytes.fromhex(table), firstlineno) == [tuple(p) for p in expected]
