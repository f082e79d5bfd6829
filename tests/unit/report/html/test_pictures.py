"""Timeline, bars, histogram and matrix: what they show is what was recorded."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from giltrace.report.html.charts import blame_matrix, histogram, thread_bars
from giltrace.report.html.timeline import BINS, HEIGHT, THREADS, Lane, covered, draw
from giltrace.wording.results import Results
from tests.support import stories
from tests.support.timeline import timeline

CONVOY = Results(timeline(stories.convoy()))


def drawn(lane: Lane) -> dict[str, float]:
    """The share of the box that each class covers."""
    found = {}
    for name, path in lane.areas:
        bars = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z", path)
        assert "".join(f"M{a} {b}h{c}v{d}h-{e}z" for a, b, c, d, e in bars) == path
        assert all(int(top) + int(high) <= HEIGHT for _, top, _, high, _ in bars)
        found[name] = sum(int(w) * int(h) for _, _, w, h, _ in bars) / (BINS * HEIGHT)
    return found


def test_lanes_are_in_proportion() -> None:
    """The area of a colour is its share of the recording."""
    shown = draw(CONVOY)
    assert shown is not None
    hog, main = shown.threads
    assert (hog.label, main.label) == ("Thread-1", "MainThread")
    assert abs(drawn(hog)["held"] - 42 / 46) < 0.01
    assert abs(drawn(main)["waited"] - 20 / 46) < 0.01
    assert abs(drawn(main)["held"] - 4 / 46) < 0.01
    assert "waits for it 43 % of the time" in main.summary
    holder, awaited = shown.gils
    assert abs(sum(drawn(holder).values()) - 1) < 0.01
    assert set(drawn(holder)) >= {hog.colour, main.colour}
    assert abs(drawn(awaited)["waited"] - 24 / 46) < 0.01


def test_findings_are_marked_when_they_were() -> None:
    """From the first to the last of their waits."""
    shown = draw(CONVOY)
    assert shown is not None
    band = shown.bands[0]
    assert band.title.startswith("Convoy: ")
    assert abs(band.x - BINS * 11 / 46) < 0.1
    assert abs(band.width - BINS * 25 / 46) < 0.1
    assert shown.ticks == ("0", "11.5 ms", "23 ms", "34.5 ms", "46 ms")


def test_too_many_threads_are_counted() -> None:
    """Those that held and waited most are drawn."""
    lines = [f"t{n}: hold {10 * n}-{10 * n + 1 + n % 3}ms" for n in range(THREADS + 4)]
    shown = draw(Results(timeline(*lines)))
    assert shown is not None
    assert (len(shown.threads), shown.left_out) == (THREADS, 4)


def test_nothing_recorded_nothing_drawn() -> None:
    """No empty axes."""
    empty = Results(timeline(stories.EMPTY))
    assert draw(empty) is None
    assert (thread_bars(empty), histogram(empty), blame_matrix(empty)) == ([], [], None)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_bins_cover_all_of_it(gaps: list[tuple[int, int]]) -> None:
    """Whatever the spans, each nanosecond of them is in the bin that it belongs to."""
    at, starts, ends = 0, [], []
    for gap, length in gaps:
        starts.append(at + gap)
        ends.append(at + gap + length)
        at += gap + length
    edges = np.linspace(0, at + 10, 8).astype(np.int64)
    start, end = np.array(starts, np.int64), np.array(ends, np.int64)
    expected = [
        sum(max(0, min(e, high) - max(s, low)) for s, e in zip(starts, ends, strict=True))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    assert covered(start, end, edges).tolist() == expected


def test_bars_are_shares_of_the_recording() -> None:
    """One after the other, and no longer than all of it."""
    hog, main = thread_bars(CONVOY)
    assert hog.segments == (("held", 0.0, 91.3), ("waited", 91.3, 8.7))
    assert main.segments[:2] == (("held", 0.0, 8.7), ("waited", 8.7, 43.48))
    assert main.words.startswith("holds the GIL 9 %, waits for it 43 %")


def test_histogram_has_each_wait_once() -> None:
    """In steps of 1, 2 and 5; the one that the switch interval is in is marked."""
    bins = histogram(CONVOY)
    assert [(one.label, one.waits, one.total) for one in bins] == [
        ("1 ms – 2 ms", "4", "4 ms"),
        ("2 ms – 5 ms", "0", "-"),
        ("5 ms – 10 ms", "4", "20 ms"),
    ]
    assert [one.note for one in bins] == ["", "", "switch interval"]
    assert max(one.width for one in bins) == 100


def test_the_longest_wait_has_a_bin() -> None:
    """Also one of hours, and one of a nanosecond."""
    trace = timeline("A: hold 0-90000s; B: wait 1-90000s hold 90000-90001s")
    assert [one.waits for one in histogram(Results(trace))] == ["1"]


def test_matrix_adds_up_to_blame() -> None:
    """Who waited for whom; time in which nobody held the GIL has its own column."""
    trace = timeline("A: hold 0-1ms; io: wait 0.5-5ms hold 5-6ms")
    matrix = blame_matrix(Results(trace))
    assert matrix is not None
    assert matrix.holders == ("nobody (hand-off)", "A")
    assert matrix.rows == (("io", (("4 ms", 5), ("500 µs", 4))),)


def test_a_matrix_of_many_threads_is_folded() -> None:
    """The dozen that matters most by name, the others together, and nothing is lost."""
    lines = ["cpu: hold 0-100ms at c.py:1 in spin"]
    lines += [f"t{n}: wait {n + 1}-{100 + n}ms hold {100 + n}-{101 + n}ms" for n in range(20)]
    results = Results(timeline(*lines))
    matrix = blame_matrix(results)
    assert matrix is not None
    assert len(matrix.holders) == 13
    assert [side for side, _ in matrix.rows][-1] == "others"
    assert len(matrix.rows) == 13
