"""Finding distinct rows."""

from __future__ import annotations

import numpy as np

from giltrace.export.grouping import distinct_rows


def test_rows_and_which_is_which() -> None:
    """Each distinct row comes once, and every row is told which it is."""
    columns = [np.array([3, 1, 3, 1]), np.array([True, False, True, True])]
    rows, which = distinct_rows(columns)
    assert rows == [(1, 0), (1, 1), (3, 1)]
    assert [rows[i] for i in which] == [(3, 1), (1, 0), (3, 1), (1, 1)]


def test_large_numbers_are_told_apart() -> None:
    """Columns whose combinations do not fit into 64 bits give the right rows all the same."""
    values = np.array([0, (1 << 40) - 1, (1 << 40) - 1, 5, 0])
    rows, which = distinct_rows([values, values[::-1].copy(), values])
    assert len(rows) == 4
    assert [rows[i] for i in which] == list(
        zip(values.tolist(), values[::-1].tolist(), values.tolist(), strict=True)
    )


def test_no_rows() -> None:
    """Nothing has no distinct rows."""
    rows, which = distinct_rows([np.zeros(0, np.int64), np.zeros(0, np.int64)])
    assert rows == []
    assert which.tolist() == []
