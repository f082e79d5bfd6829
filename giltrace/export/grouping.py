"""Finding the distinct rows of a batch: what is equal need be put into bytes only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.model.tables import I8

Columns: TypeAlias = Sequence[npt.NDArray[np.integer[Any] | np.bool_]]

_ROOM: Final = 1 << 62


def distinct_rows(columns: Columns) -> tuple[list[tuple[int, ...]], I8]:
    """The distinct rows of ``columns``, which hold no negative numbers.

    Returns:
        Each distinct row, and int64 [n]: which of them every row equals.
    """
    key = columns[0].astype(np.int64)
    bound = int(key.max(initial=0)) + 1
    for column in columns[1:]:
        size = int(column.max(initial=0)) + 1
        if bound * size > _ROOM:
            key = np.unique(key, return_inverse=True)[1]
            bound = int(key.max(initial=0)) + 1
        key = key * size + column
        bound *= size
    _, example, which = np.unique(key, return_index=True, return_inverse=True)
    return list(zip(*(column[example].tolist() for column in columns), strict=True)), which
