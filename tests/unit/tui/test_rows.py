"""Which lane is on which row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from giltrace.tui.source import Lane
from giltrace.tui.view.rows import Density, Layout


def lanes(*threads: int) -> list[Lane]:
    """Groups of so many threads."""
    made: list[Lane] = []
    for group, count in enumerate(threads):
        made.append(Lane(len(made), group, "GIL", is_gil=True))
        made += [Lane(len(made) + i, group, f"t{i}", colour=i) for i in range(count)]
    return made


def test_lanes_are_as_high_as_fits() -> None:
    """Few threads get tall lanes, many get one row each."""
    assert Layout.fitting(lanes(3), 1, 11).density is Density.TALL
    assert Layout.fitting(lanes(3), 1, 10).density is Density.AIRY
    assert Layout.fitting(lanes(3), 1, 6).density is Density.DENSE


def test_the_gil_stays_on_top() -> None:
    """Whatever is scrolled, the first lane is the GIL's."""
    layout = Layout(lanes(100), 1, 10, Density.DENSE)
    placed = layout.placed(50)
    assert [one.lane for one in placed] == [0, *range(50, 59)]
    assert [one.y for one in placed] == list(range(10))


def test_groups_have_headings() -> None:
    """Of several processes each is told from the next."""
    placed = Layout(lanes(1, 1), 2, 10, Density.DENSE).placed(0)
    assert [(one.lane, one.is_heading) for one in placed] == [
        (0, True),
        (0, False),
        (1, False),
        (2, True),
        (2, False),
        (3, False),
    ]


def test_nothing_to_place() -> None:
    """A capture without lanes has an empty screen, and so has a screen without rows."""
    assert Layout([], 0, 10, Density.TALL).placed(0) == []
    assert Layout(lanes(2), 1, 0, Density.TALL).placed(0) == []


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(4, 40),
    st.sampled_from(Density),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_every_lane_can_be_reached(
    threads: list[int], height: int, density: Density, first: int, wanted: int
) -> None:
    """Wherever one is, a lane that is gone to becomes visible, and nothing overlaps."""
    all_lanes = lanes(*threads)
    layout = Layout(all_lanes, len(threads), height, density)
    if height < 2 * density + 1:
        return
    first, wanted = first % len(all_lanes), wanted % len(all_lanes)
    placed = layout.placed(layout.reaching(first, wanted))
    assert wanted in [one.lane for one in placed if not one.is_heading]
    rows = [one.y + row for one in placed for row in range(1 if one.is_heading else density.drawn)]
    assert len(set(rows)) == len(rows)
    assert max(rows) < height
