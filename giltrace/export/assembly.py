"""Putting texts together from templates with gaps, for a whole batch of points at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, AnyStr, Final, Generic, TypeAlias

import numpy as np
import numpy.typing as npt

from giltrace.export.points import Kind, Points
from giltrace.export.shapes import Gap, Group, Shapes
from giltrace.model.tables import I8

Objects: TypeAlias = npt.NDArray[np.object_]

_TEMPLATES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Template(Generic[AnyStr]):
    """Pieces of text with a gap between each two.

    Attributes:
        pieces: one more than gaps.
        gaps: what belongs between them.
    """

    pieces: tuple[AnyStr, ...]
    gaps: tuple[Gap, ...]


def template(parts: Iterable[AnyStr | Gap], empty: AnyStr) -> Template[AnyStr]:
    """A template of texts and gaps in any order; ``empty`` is the empty text."""
    runs: list[list[AnyStr]] = [[]]
    gaps = []
    for part in parts:
        if isinstance(part, Gap):
            gaps.append(part)
            runs.append([])
        else:
            runs[-1].append(part)
    return Template(tuple(empty.join(run) for run in runs), tuple(gaps))


class Assembly(Generic[AnyStr]):
    """Turns batches of points into text, in the order of time."""

    def __init__(
        self,
        shapes: Shapes,
        makers: Mapping[Kind, Callable[[Any], Template[AnyStr]]],
        fill: Callable[[Gap, I8], Objects],
        empty: AnyStr,
    ) -> None:
        """Prepare for a trace.

        Args:
            shapes: of the trace.
            makers: for each kind, what makes the template for a shape of that kind.
            fill: makes texts from the numbers for a gap.
            empty: the empty text.
        """
        self._shapes = shapes
        self._makers: dict[Kind, Callable[[Any], Template[AnyStr]]] = {
            kind: lru_cache(_TEMPLATES)(make) for kind, make in makers.items()
        }
        self._fill = fill
        self._empty: AnyStr = empty

    def text(self, points: Points) -> AnyStr:
        """The texts of all points of a batch, one after the other."""
        blocks = [block for group in self._shapes.of(points) for block in self._blocks(group)]
        width = max(block.shape[1] for _, block in blocks)
        parts = np.full((len(points), width), self._empty, np.object_)
        for rows, block in blocks:
            parts[rows, : block.shape[1]] = block
        texts: list[AnyStr] = parts.ravel().tolist()
        return self._empty.join(texts)

    def _blocks(self, group: Group) -> list[tuple[I8, Objects]]:
        """Rows of the batch and their texts, for all points that have the same gaps."""
        make = self._makers[group.kind]
        templates = [make(shape) for shape in group.shapes]
        variants = list(dict.fromkeys(template.gaps for template in templates))
        variant = np.array([variants.index(template.gaps) for template in templates])
        found = []
        for number, gaps in enumerate(variants):
            mine = np.flatnonzero(variant[group.which] == number)
            table = np.empty((len(templates), len(gaps) + 1), np.object_)
            for row, template in enumerate(templates):
                if variant[row] == number:
                    table[row] = template.pieces
            block = np.empty((len(mine), 2 * len(gaps) + 1), np.object_)
            block[:, ::2] = table[group.which[mine]]
            texts: dict[Gap, Objects] = {}
            for column, gap in enumerate(gaps):
                if gap not in texts:
                    texts[gap] = self._fill(gap, self._shapes.numbers(group, gap, mine))
                block[:, 2 * column + 1] = texts[gap]
            found.append((group.here[mine], block))
        return found
