"""Call stacks: whose callers held the GIL, and whose paid for letting it go."""

from __future__ import annotations

from giltrace.analysis.blame import table as blame_table
from giltrace.analysis.stacks import table
from tests.support.timeline import timeline

DEEP = timeline("""
    cpu: hold 0-6ms at load.py:12 in spin from job.py:3 in run check
    cpu: wait 6.1-7ms hold 7-9ms at load.py:12 in spin from job.py:8 in other
    io:  hold -0ms at wire.py:5 in read from app.py:40 in serve from app.py:90 in main
    io:  wait 1-6ms request@6ms hold 6-7ms at wire.py:5 in read from app.py:40 in serve
""")


def test_who_made_others_wait_and_who_had_to_wait() -> None:
    """One row for each thread, place and stack; the dearest first."""
    rows = table(DEEP)
    said = [
        (DEEP.threads[row.thread].name, [DEEP.places[p].line for p in DEEP.stacks[row.stack]])
        for row in rows
    ]
    assert said[:2] == [("cpu", [3]), ("io", [40, 90])]
    spin = rows[0]
    assert (spin.holds, spin.hold_ns, spin.blamed_ns, spin.wait_after_ns) == (
        1, 6_000_000, 5_000_000, 900_000,
    )  # fmt: skip
    assert rows[1].wait_after_ns == 5_000_000
    assert len(rows) == 4


def test_expressions_of_one_line_are_one_row() -> None:
    """The line tells on whose behalf it was."""
    (row,) = table(
        timeline("""
            cpu: hold 0-3ms at load.py:12:0-4 in spin from job.py:3 in run
            cpu: hold 4-6ms at load.py:12:6-9 in spin from job.py:3 in run
        """)
    )
    assert (row.holds, row.hold_ns) == (2, 5_000_000)


def test_it_adds_up_to_blame() -> None:
    """What others waited during all of these holds is what blame says, without the gaps."""
    blamed = sum(row.wait_ns for row in blame_table(DEEP) if row.holder is not None)
    assert sum(row.blamed_ns for row in table(DEEP)) == blamed


def test_a_limit_keeps_the_dearest() -> None:
    """As many rows as asked for."""
    assert table(DEEP, 1) == table(DEEP)[:1]


def test_without_callers_there_is_no_table() -> None:
    """Most recordings have places alone."""
    assert table(timeline("io: hold 0-1ms at a.py:1")) == []
