"""Which lane is on which rows of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from giltrace.tui.source import Lane


class Density(IntEnum):
    """How many rows each lane has, the free one between two lanes included."""

    DENSE = 1
    AIRY = 2
    TALL = 3

    @property
    def drawn(self) -> int:
        """The rows that are drawn."""
        return 2 if self is Density.TALL else 1


@dataclass(frozen=True, slots=True)
class Placed:
    """A lane, or the heading of a group, on the screen.

    Attributes:
        y: the first row.
        lane: index of the lane; of a heading, that of the group's first lane.
        is_heading: it is the heading of a group.
    """

    y: int
    lane: int
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How lanes share some rows of the screen.

    Attributes:
        lanes: all of them.
        groups: how many groups they form; if there are several, each has a heading.
        height: how many rows there are.
        density: how high lanes are.
    """

    lanes: Sequence[Lane]
    groups: int
    height: int
    density: Density

    @classmethod
    def fitting(cls, lanes: Sequence[Lane], groups: int, height: int) -> Layout:
        """The tallest lanes that all fit; the lowest if not even those do."""
        headings = groups if groups > 1 else 0
        for density in (Density.TALL, Density.AIRY):
            if len(lanes) * density + headings <= height + density - density.drawn:
                return cls(lanes, groups, height, density)
        return cls(lanes, groups, height, Density.DENSE)

    def placed(self, first: int) -> list[Placed]:
        """What is on the screen if ``first`` is the topmost lane.

        The GIL's lane of its group stays above it, whatever is scrolled.
        """
        found: list[Placed] = []
        y, lane = 0, first
        if 0 <= first < len(self.lanes):
            lane = gil_lane(self.lanes, first)
        while lane < len(self.lanes):
            if self.groups > 1 and self.lanes[lane].is_gil:
                if y >= self.height:
                    break
                found.append(Placed(y, lane, is_heading=True))
                y += 1
            if y + self.density.drawn > self.height:
                break
            found.append(Placed(y, lane))
            y += self.density
            lane = first if lane < first else lane + 1
        return found

    def reaching(self, first: int, wanted: int) -> int:
        """The topmost lane that makes a lane visible, moving as little as may be."""
        if wanted <= first:
            return first if gil_lane(self.lanes, first) == wanted else wanted
        first = max(first, wanted - self.height // self.density)
        while first < wanted and not any(
            one.lane == wanted and not one.is_heading for one in self.placed(first)
        ):
            first += 1
        return first


def gil_lane(lanes: Sequence[Lane], lane: int) -> int:
    """The lane of the GIL of a lane's group."""
    while not lanes[lane].is_gil:
        lane -= 1
    return lane
