"""The visible stretch of time: zooming, panning, and where cells begin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.tui.view.viewport import LEAST_NS, Viewport

MS = 1_000_000
DAYS = 10**15
WHOLE = Viewport.whole(0, 1000 * MS)

viewports = st.builds(
    lambda low, length, span, start: (
        Viewport.whole(low, low + length).zoomed(span, low).panned(start)
    ),
    st.integers(0, DAYS),
    st.integers(0, DAYS),
    st.floats(1e-9, 1),
    st.integers(-DAYS, DAYS),
)


def test_zoom_keeps_the_anchor() -> None:
    """What was under the mouse stays under the mouse."""
    closer = WHOLE.zoomed(0.5, 250 * MS)
    assert (closer.start, closer.end) == (125 * MS, 625 * MS)
    assert closer.column(250 * MS, 100) == WHOLE.column(250 * MS, 100)
    assert closer.zoomed(2, 250 * MS) == WHOLE


def test_zoom_has_bounds() -> None:
    """No closer than a microsecond, no further than all there is."""
    assert WHOLE.zoomed(1e-12, 5).span == LEAST_NS
    assert WHOLE.zoomed(10, 5).is_whole


def test_pan_stops_at_the_ends() -> None:
    """A recording has two ends."""
    view = WHOLE.zoomed(0.1, 0)
    assert view.panned(-5).start == 0
    assert view.panned(10_000 * MS).end == 1000 * MS


def test_showing_moves_only_if_it_must() -> None:
    """An interval that can be seen is left where it is; another one comes to the middle."""
    view = WHOLE.zoomed(0.1, 0)
    assert view.showing(10 * MS, 20 * MS) == view
    assert view.showing(500 * MS, 510 * MS).start == 455 * MS
    assert view.showing(500 * MS, 500 * MS + 10).span == pytest.approx(30, abs=LEAST_NS)
    wide = view.showing(0, 900 * MS)
    assert (wide.low <= wide.start <= 0) and wide.end >= 900 * MS


def test_a_recording_without_length_has_a_screen() -> None:
    """A capture of nothing can be looked at as well."""
    view = Viewport.whole(7, 7)
    assert view.span == LEAST_NS
    assert len(view.edges(80)) == 81


def test_growth_keeps_what_is_visible() -> None:
    """When the recording grows the screen does not move."""
    view = WHOLE.zoomed(0.1, 400 * MS)
    assert view.within(0, 2000 * MS).start == view.start
    assert view.within(900 * MS, 2000 * MS).start == 900 * MS


@given(viewports, st.integers(1, 400))
def test_cells_tile_the_screen(view: Viewport, width: int) -> None:
    """Cells lie side by side from one end of the screen to the other, none empty by a rounding."""
    edges = view.edges(width)
    assert (int(edges[0]), int(edges[-1])) == (view.start, view.end)
    lengths = np.diff(edges)
    assert int(lengths.min()) >= view.span // width
    assert int(lengths.max()) <= view.span // width + 1


@given(viewports, st.floats(0.01, 100), st.integers(0, 2 * DAYS), st.integers(-DAYS, DAYS))
def test_never_outside(view: Viewport, factor: float, anchor: int, pan: int) -> None:
    """However one zooms and pans, the screen shows a part of the recording."""
    for moved in (view.zoomed(factor, anchor), view.panned(pan), view.reaching(anchor)):
        assert moved.low <= moved.start < moved.end <= moved.high
