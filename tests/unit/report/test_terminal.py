"""The whole report as it stands in a terminal."""

from __future__ import annotations

import re

import pytest

from giltrace.report.terminal import render, render_words
from tests.support import stories
from tests.support.timeline import timeline

CONVOY = """\
`app.py` was recorded for 46 ms on CPython 3.11.7, with 2 threads. The GIL was
held 100 % of the time, mostly by `Thread-1`: 42 ms (91 % of the time) at
load.py:12 in spin. `MainThread` waited 4 times for the GIL, 5 ms each time on
average (20 ms in all, 43 % of the time; 5 ms at worst), and 100 % of that time
the GIL was held by `Thread-1` at load.py:12 in spin. All of these waits ended
because the holder was forced to let go (a waiter asks for that after 5 ms). One
other thread waited 4 times as well, 4 ms in all. This is the convoy effect:
`MainThread` needs the GIL only for moments, but whenever it has let go of it,
`Thread-1` takes it and computes until it is made to hand it back, about one
switch interval (5 ms) later. Move that computing to another process; a shorter
switch interval (sys.setswitchinterval) makes each such wait shorter.

Threads
thread      holds   %  waits  waiting   p50   p99   max  off GIL  forced out
────────────────────────────────────────────────────────────────────────────
Thread-1    42 ms  91      4     4 ms  1 ms  1 ms  1 ms     0 ns           4
MainThread   4 ms   9      4    20 ms  5 ms  5 ms  5 ms    12 ms           0
no room for: acquires

Where the time went
thread       held  waited  blocked  sleep  lock  native  unknown  held idle
───────────────────────────────────────────────────────────────────────────
Thread-1    42 ms    4 ms        -      -     -       -        -          -
MainThread   4 ms   20 ms        -      -     -       -    12 ms          -
no room for: switching

GIL of process 100: held 100 % of the time, awaited 52 %; 8 hand-offs; releases:
4 forced, 4 voluntary, 0 unknown; 4 drop requests

Worst waits
waiter      waited     at  while the GIL was held by        for  ended
───────────────────────────────────────────────────────────────────────
MainThread    5 ms   1 ms  Thread-1 at load.py:12 in spin  5 ms  forced
MainThread    5 ms  11 ms  Thread-1 at load.py:12 in spin  5 ms  forced

Blame: who waited for whom
waiter      holder      where it let go         total  waits
────────────────────────────────────────────────────────────
MainThread  Thread-1    load.py:12 in spin      20 ms      4
Thread-1    MainThread  server.py:41 in handle   4 ms      4

Off the GIL: in which calls, and how long it took to get it back
thread      call                          kind  times    for  then waited
─────────────────────────────────────────────────────────────────────────
MainThread  at server.py:41 in handle  unknown      3  12 ms        15 ms
no room for: each time
"""


def test_convoy_in_eighty_columns() -> None:
    """Words first, then the threads, the worst waits and the blame."""
    shown = render(timeline(stories.convoy()), top=2, width=80)
    assert shown == CONVOY


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_prose_keeps_to_the_width(width: int) -> None:
    """No line of the words is longer than the terminal, nor longer than reads well."""
    text = render_words(timeline(stories.convoy()), width=max(width, 1))
    assert max(map(len, text.splitlines())) <= min(width, 100)


def test_a_number_stays_with_its_unit() -> None:
    """At no width a line begins with a unit."""
    for width in range(20, 100):
        text = render_words(timeline(stories.convoy()), width=width)
        assert not re.search(r"^(ms|%|s|µs)\b", text, re.MULTILINE)


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120, None])
def test_any_width_shows_the_essentials(width: int | None) -> None:
    """However narrow, the names, the totals and the places are there."""
    squeezed = "".join(render(timeline(stories.convoy()), width=width).split())
    for essential in ("MainThread", "Thread-1", "load.py:12inspin", "20ms"):
        assert essential in squeezed


def test_colour_only_when_asked() -> None:
    """Without colour there is no escape sequence; with it the words are the same."""
    trace = timeline(stories.convoy())
    plain, coloured = render(trace, width=80), render(trace, width=80, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[1m`MainThread`" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert re.sub(r" +$", "", stripped, flags=re.MULTILINE) == plain


def test_names_with_markup_and_escapes_are_shown_as_they_are() -> None:
    """Rich's markup in a thread name has no effect, and no control character gets through."""
    trace = timeline("[b]x[/b]\x1b: hold 0-1ms at a.py:1; io: wait 0.5-1ms hold 1-2ms")
    text = render(trace, width=100, colour=True)
    assert r"[b]x[/b]\x1b" in text
    assert not re.search(r"\x1b(?!\[[0-9;]*m)", text)


def test_rows_left_out_are_counted() -> None:
    """A table that was cut says so."""
    lines = [f"t{n}: hold {10 * n}-{10 * n + 1}ms" for n in range(5)]
    assert "and 3 more threads (--top)\n" in render(timeline(*lines), top=2)


def test_nothing_recorded_shows_words_only() -> None:
    """No empty tables."""
    text = render(timeline(stories.EMPTY))
    assert "Threads" not in text
    assert text.startswith("pid 100: No GIL event was recorded.")
