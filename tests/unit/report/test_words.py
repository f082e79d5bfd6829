"""The paragraph in words, for timelines that each tell one story."""

from __future__ import annotations

import pytest

from giltrace.report.words import explain
from tests.support import stories
from tests.support.timeline import timeline

STORIES = {
    "convoy": (
        stories.convoy(),
        "`app.py` was recorded for 46 ms on CPython 3.11.7, with 2 threads. "
        "The GIL was held 100 % of the time, mostly by `Thread-1`: 42 ms (91 % of the time) at "
        "load.py:12 in spin. "
        "`MainThread` waited 4 times for the GIL, 5 ms each time on average (20 ms in all, 43 % "
        "of the time; 5 ms at worst), and 100 % of that time the GIL was held by `Thread-1` at "
        "load.py:12 in spin. "
        "All of these waits ended because the holder was forced to let go (a waiter asks for "
        "that after 5 ms). "
        "One other thread waited 4 times as well, 4 ms in all. "
        "This is the convoy effect: `MainThread` needs the GIL only for moments, but whenever it "
        "has let go of it, `Thread-1` takes it and computes until it is made to hand it back, "
        "about one switch interval (5 ms) later. Move that computing to another process; a "
        "shorter switch interval (sys.setswitchinterval) makes each such wait shorter.",
    ),
    "healthy": (
        stories.HEALTHY,
        "`app.py` was recorded for 4 ms on CPython 3.11.7, with 2 threads. "
        "The GIL was held 62 % of the time, mostly by `MainThread`: 2 ms (50 % of the time), "
        "mostly at app.py:5 in main. "
        "Nobody ever waited for the GIL: if this program is slow, the GIL is not why.",
    ),
    "one thread": (
        stories.ONE_THREAD,
        "`app.py` was recorded for 10 ms on CPython 3.11.7, with 1 thread. "
        "The GIL was held 90 % of the time, all by `MainThread`: 9 ms (90 % of the time), mostly "
        "at app.py:5 in main. "
        "No other thread used the GIL, so nobody ever waited for the GIL: if this program is "
        "slow, the GIL is not why.",
    ),
    "empty": (
        stories.EMPTY,
        "pid 100: No GIL event was recorded. "
        "`app.py` was recorded for 2 s on CPython 3.11.7, with no thread. "
        "Nobody was seen to take or release the GIL, so there is nothing to explain.",
    ),
    "no GIL": (
        stories.NO_GIL,
        "pid 100: This interpreter runs without a GIL: there is nothing to hold or to wait for. "
        "`app.py` was recorded for 2 s on CPython 3.14.0, with no thread. "
        "Whatever makes it slow, it is not the GIL.",
    ),
    "lost events": (
        stories.LOST,
        "pid 100: 17 events lost for want of buffer space: some holds and waits are missing or "
        "cut short. "
        "`app.py` was recorded for 10 ms on CPython 3.11.7, with 1 thread. "
        "The GIL was held 90 % of the time, all by `MainThread`: 9 ms (90 % of the time) at "
        "app.py:5 in main. "
        "Nobody is known to have waited for the GIL, but the record has gaps.",
    ),
    "unfinished": (
        stories.UNFINISHED,
        "The recorder has not finished: it died, or it is still recording. "
        "pid 100: Its end is not on record: whatever was open is shown up to its last event. "
        "`app.py` was recorded for 7 ms on CPython 3.11.7, with 1 thread. "
        "The GIL was held 100 % of the time, all by `MainThread`: 7 ms (100 % of the time) at "
        "app.py:5 in main. "
        "No other thread used the GIL, so nobody ever waited for the GIL: if this program is "
        "slow, the GIL is not why.",
    ),
    "long hold": (
        stories.LONG_HOLD,
        "`app.py` was recorded for 701 ms on CPython 3.11.7, with 2 threads. "
        "The GIL was held 100 % of the time, mostly by `C`: 700 ms (>99 % of the time) at "
        "regex.py:3 in search. "
        "`io` waited once for the GIL, for 699 ms, and 100 % of that time the GIL was held by `C` "
        "at regex.py:3 in search. "
        "This wait ended because the holder was forced to let go (a waiter asks for that after "
        "5 ms). "
        "`C` once kept the GIL for 694 ms after it had been asked to let go (it did at regex.py:3 "
        "in search): a single call that long, such as C code that keeps the GIL, stops every "
        "other Python thread, and a shorter switch interval does not help.",
    ),
    "turns": (
        stories.TURNS,
        "`app.py` was recorded for 30 ms on CPython 3.11.7, with 2 threads. "
        "The GIL was held 100 % of the time, mostly by `A`: 15 ms (50 % of the time) at a.py:1 "
        "in f. "
        "`B` waited 3 times for the GIL, 4.8 ms each time on average (14.5 ms in all, 48 % of "
        "the time; 5 ms at worst), and 100 % of that time the GIL was held by `A` at a.py:1 in f. "
        "All of these waits ended because the holder was forced to let go (a waiter asks for "
        "that after 5 ms). "
        "One other thread waited twice as well, 10 ms in all. "
        "`B` computes as well, and the GIL lets only one thread compute at a time: they take "
        "turns of about 5 ms. More threads do not make this faster; processes would.",
    ),
    "mild": (
        stories.MILD,
        "`app.py` was recorded for 2 s on CPython 3.11.7, with 2 threads. "
        "The GIL was held >99 % of the time, mostly by `A`: 2.0 s (>99 % of the time) at a.py:1 "
        "in f. "
        "`io` waited once for the GIL, for 300 µs, and 67 % of that time the GIL was held by `A` "
        "at a.py:1 in f. "
        "This wait ended because the holder let go by itself. "
        "That is little: if this program is slow, the GIL is hardly why.",
    ),
    "two processes": (
        stories.TWO_PROCESSES,
        "`app.py` was recorded for 2 ms on CPython 3.11.7, with 3 threads in 2 processes. "
        "Of 2 GILs, that of process 200 was waited for most. It was held 100 % of the time, "
        "mostly by `worker (pid 200)`: 1 ms (50 % of the time) at app.py:5 in main. "
        "`io` waited once for the GIL, for 500 µs, and 100 % of that time the GIL was held by "
        "`worker (pid 200)` at app.py:5 in main. "
        "This wait ended because the holder let go by itself. "
        "The two compete for the GIL: while `worker (pid 200)` holds it, `io` stands still.",
    ),
    "slow hand-off": (
        "A: hold 0-1ms; io: wait 0.9-5ms hold 5-6ms",
        "`app.py` was recorded for 6 ms on CPython 3.11.7, with 2 threads. "
        "The GIL was held 33 % of the time, mostly by `A`: 1 ms (17 % of the time). "
        "`io` waited once for the GIL, for 4.1 ms, and 98 % of that time the GIL was free but not "
        "yet handed over. "
        "This wait ended because the holder let go by itself. "
        "What took long is the hand-off itself: the kernel has to wake `io` up, which is slow "
        "when all cores are busy.",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_is_told_in_these_words(story: str) -> None:
    """Each timeline is explained by exactly this paragraph."""
    text, words = STORIES[story]
    assert explain(timeline(text)) == words


def test_ways_in_which_waits_ended_are_counted() -> None:
    """Forced, voluntary, unproven and unfinished ends stand side by side."""
    trace = timeline(
        """
        A:  hold 0-6ms check   hold 7-8ms   hold 9-15ms   hold 16-30ms
        io: wait 1-6ms request@6ms hold 6-7ms   wait 7.5-8ms hold 8-9ms
        io: wait 10-15ms request@15ms hold 15-16ms   wait 17ms-
        """
    )
    assert (
        "Of these waits, 1 ended because the holder was forced to let go (a waiter asks for that "
        "after 5 ms), 1 ended because the holder let go by itself, 1 ended in a way that cannot "
        "be proven and 1 never ended."
    ) in explain(trace)


def test_many_notes_are_cut() -> None:
    """A recording of many broken processes is not introduced by a page of notes."""
    trace = timeline(*(f"process {pid} end=1s" for pid in range(100, 120)))
    words = explain(trace)
    assert words.count("No GIL event was recorded.") == 5
    assert "There are 15 more notes like these." in words


def test_hostile_names_cannot_act() -> None:
    """Control characters, bidirectional overrides and endless names are shown, not obeyed."""
    name = "x\x1b[2J\u202e" + "y" * 10_000
    trace = timeline(f"A\udc80: hold 0-1ms at e\x1bvil.py:1 in f; {name}: wait 0.5-1ms hold 1-2ms")
    words = explain(trace)
    assert words.isprintable()
    assert r"`A\x80` at e\x1bvil.py:1 in f" in words
    assert r"`x\x1b[2J\u202eyyyyyyyyyyyy…yyyyyyyyyyyyy`" in words


def test_threads_of_one_name_are_told_apart() -> None:
    """Two threads that look alike get their thread ids."""
    trace = timeline("w\u200b: hold 0-1ms; w\\u200b: wait 0.5-1ms hold 1-2ms")
    words = explain(trace)
    first, second = (thread.tid for thread in trace.threads)
    assert f"mostly by `w\\u200b (tid {first})`" in words
    assert f"`w\\u200b (tid {second})` waited once" in words
