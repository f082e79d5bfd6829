"""The whole report as it stands in a terminal."""

from __future__ import annotations

import re

import pytest

from giltrace.report.terminal import render
from tests.support import stories
from tests.support.timeline import timeline

CONVOY = """\
`app.py` was recorded for 46 ms on CPython 3.11.7, with 2 threads. The GIL was
held 100 % of the time, mostly by `Thread-1`: 42 ms (91 % of the time) at
load.py:12 in spin.

Convoy: `MainThread` lost 15 ms (33 % of the time) behind `Thread-1`.
What happened  `MainThread` let go of the GIL only for moments, in code at
               server.py:41 in handle (3 times), but 3 times it took long to get
               it back: 5 ms each time on average, 5 ms at worst.
Why            Each time `Thread-1` had taken it and computed at load.py:12 in
               spin. A thread that computes lets go when it is asked to, and a
               waiter asks after one switch interval (5 ms): 100 % of the lost
               time is that.
What it cost   15 ms (33 % of the time).
What to do     Start it with `giltrace run`, which lets threads go first that
               let go by themselves (predicted: 5 ms an iteration instead of
               10 ms). Or move what `Thread-1` computes to another process
               (predicted: 5 ms an iteration instead of 10 ms).
               sys.setswitchinterval(0.0005) makes each wait shorter (predicted:
               6 ms an iteration instead of 10 ms).
Evidence       75 % sure: 3 waits from 11 ms to 36 ms, the longest at 11 ms.

Contention: `MainThread` and `Thread-1` lost 9 ms (10 % of the time of each on
average) waiting for each other.
What happened  `MainThread` and `Thread-1` had to wait 5 times: 1.8 ms each time
               on average, 5 ms at worst. None of the patterns that giltrace
               knows explains these waits.
Why            For 100 % of that time one of them held the GIL, `Thread-1` at
               load.py:12 in spin.
What it cost   9 ms (10 % of the time of each on average).
What to do     Under Blame, giltrace report has the lines that hold the GIL
               meanwhile.
Evidence       83 % sure: 5 waits from 1 ms to 37 ms, the longest at 1 ms.

What would help: predicted for each of 2 iterations of MainThread
remedy                       waits  takes  times as fast  Thread-1 computes
───────────────────────────────────────────────────────────────────────────
as recorded                   5 ms  10 ms                              90 %
switch interval 1 ms          1 ms   6 ms           1.7x               83 %
switch interval 500 µs        1 ms   6 ms           1.7x               83 %
giltrace run (priorities)        -   5 ms           2.0x               80 %
Thread-1 in another process      -   5 ms           2.0x              100 %
Python without a GIL             -   5 ms           2.0x              100 %
Played under its own rules, the recording is missed by 0 %. In another process,
and without a GIL, each thread is given a core of its own, and passing data
costs nothing.

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

GILs, and how releases came about
GIL of        held  awaited  hand-offs  forced  voluntary  drop requests
────────────────────────────────────────────────────────────────────────
process 100  100 %     52 %          8       4          4              4
no room for: unknown

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


def prose(text: str) -> str:
    """What stands before the first table."""
    return text.partition("\nWhat would help")[0]


def test_convoy_in_eighty_columns() -> None:
    """Words first, then the threads, the worst waits and the blame."""
    shown = render(timeline(stories.convoy()), top=2, width=80)
    assert shown == CONVOY


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_prose_keeps_to_the_width(width: int) -> None:
    """No line of the words is longer than the terminal, nor longer than reads well."""
    text = prose(render(timeline(stories.convoy()), width=width))
    assert max(map(len, text.splitlines())) <= min(width, 100)


def test_a_number_stays_with_its_unit() -> None:
    """At no width a line begins with a unit."""
    trace = timeline(stories.convoy())
    for width in range(20, 100, 3):
        text = prose(render(trace, width=width))
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


def test_one_holder_at_one_line_is_one_culprit() -> None:
    """A long wait is told by who held the GIL at which line, however often that was."""
    holds = " ".join(
        f"hold {t}-{t + 4}ms at a.py:3:{t}-{t + 2} in f check" for t in range(0, 24, 4)
    )
    trace = timeline(
        f"cpu: {holds}; other: hold 24-26ms at b.py:1 in g; io: wait 1-26ms hold 26-27ms"
    )
    shown = render(trace, width=100)
    worst = shown.partition("Worst waits")[2].partition("Blame")[0]
    assert re.search(r"io +25 ms +1 ms +cpu at a.py:3 in f \(6 times\) +23 ms", worst)
    assert re.search(r"\n +other at b.py:1 in g +2 ms", worst)
    assert "more" not in worst
    blame = shown.partition("Blame")[2].partition("Off the GIL")[0]
    assert len(re.findall("a.py:3", blame)) == 1
    assert "`cpu`: 24 ms (89 % of the time) at a.py:3 in f." in " ".join(shown.split())


def test_callers_where_they_were_recorded() -> None:
    """A recording with deeper stacks says on whose behalf the GIL was held."""
    text = render(
        timeline("""
            cpu: hold 0-6ms at load.py:12 in spin from job.py:3 in run from app.py:9 in main check
            io:  wait 1-6ms request@6ms hold 6-7ms at wire.py:5 in read from app.py:40 in serve
        """)
    )
    table = text.partition("Call stacks\n")[2].partition("\n\n")[0]
    assert re.search(r"cpu +load\.py:12 in spin +6 ms +5 ms", table)
    assert table.index("load.py:12") < table.index("job.py:3 in run") < table.index("app.py:9")


def test_nothing_recorded_shows_words_only() -> None:
    """No empty tables."""
    text = render(timeline(stories.EMPTY))
    assert "Threads" not in text
    assert text.startswith("pid 100: No GIL event was recorded.")
