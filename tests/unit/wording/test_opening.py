"""The first paragraph, for timelines that each tell one story."""

from __future__ import annotations

import pytest

from tests.support import stories
from tests.support.telling import opening
from tests.support.timeline import timeline

RECORDED = "`app.py` was recorded for {} on CPython 3.11.7, with {}. "

STORIES = {
    "convoy": (
        stories.convoy(),
        RECORDED.format("46 ms", "2 threads")
        + "The GIL was held 100 % of the time, mostly by `Thread-1`: 42 ms (91 % of the time) at "
        "load.py:12 in spin.",
    ),
    "one thread": (
        stories.ONE_THREAD,
        RECORDED.format("10 ms", "1 thread")
        + "The GIL was held 90 % of the time, all by `MainThread`: 9 ms (90 % of the time), mostly "
        "at app.py:5 in main.",
    ),
    "empty": (
        stories.EMPTY,
        "pid 100: No GIL event was recorded. "
        + RECORDED.format("2 s", "no thread")
        + "Nobody was seen to take or release the GIL, so there is nothing to explain.",
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
        + RECORDED.format("10 ms", "1 thread")
        + "The GIL was held 90 % of the time, all by `MainThread`: 9 ms (90 % of the time) at "
        "app.py:5 in main.",
    ),
    "unfinished": (
        stories.UNFINISHED,
        "The recorder has not finished: it died, or it is still recording. "
        "pid 100: Its end is not on record: whatever was open is shown up to its last event. "
        + RECORDED.format("7 ms", "1 thread")
        + "The GIL was held 100 % of the time, all by `MainThread`: 7 ms (100 % of the time) at "
        "app.py:5 in main.",
    ),
    "two processes": (
        stories.TWO_PROCESSES,
        RECORDED.format("2 ms", "3 threads in 2 processes")
        + "Of 2 GILs, that of process 200 was waited for most. It was held 100 % of the time, "
        "mostly by `worker (pid 200)`: 1 ms (50 % of the time) at app.py:5 in main.",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_recording_is_introduced_in_these_words(story: str) -> None:
    """Each timeline begins with exactly this paragraph."""
    text, words = STORIES[story]
    assert opening(timeline(text)) == words


def test_many_notes_are_cut() -> None:
    """A recording of many broken processes is not introduced by a page of notes."""
    words = opening(timeline(*(f"process {pid} end=1s" for pid in range(100, 120))))
    assert words.count("No GIL event was recorded.") == 5
    assert "There are 15 more notes like these." in words


def test_threads_of_one_name_are_told_apart() -> None:
    """Two threads that look alike get their thread ids."""
    trace = timeline("w\u200b: hold 0-1ms; w\\u200b: wait 0.5-1ms hold 1-1.5ms")
    assert f"mostly by `w\\u200b (tid {trace.threads[0].tid})`" in opening(trace)
