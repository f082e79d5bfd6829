"""Each kind of finding in words: what happened, why, what it cost, what to do."""

from __future__ import annotations

import pytest

from giltrace.analysis.findings.finding import Kind
from giltrace.wording.results import Results
from giltrace.wording.stories import tell
from tests.support import stories
from tests.support.telling import in_short, opening, told
from tests.support.timeline import timeline

CONVOY = [
    "Convoy: `MainThread` lost 15 ms (33 % of the time) behind `Thread-1`.",
    "What happened: `MainThread` let go of the GIL only for moments, in code at server.py:41 in "
    "handle (3 times), but 3 times it took long to get it back: 5 ms each time on average, 5 ms "
    "at worst.",
    "Why: Each time `Thread-1` had taken it and computed at load.py:12 in spin. A thread that "
    "computes lets go when it is asked to, and a waiter asks after one switch interval (5 ms): "
    "100 % of the lost time is that.",
    "What it cost: 15 ms (33 % of the time).",
    "What to do: Start it with `giltrace run`, which lets threads go first that let go by "
    "themselves (predicted: 5 ms an iteration instead of 10 ms). Or move what `Thread-1` computes "
    "to another process (predicted: 5 ms an iteration instead of 10 ms). "
    "sys.setswitchinterval(0.0005) makes each wait shorter (predicted: 6 ms an iteration instead "
    "of 10 ms).",
    "Evidence: 75 % sure: 3 waits from 11 ms to 36 ms, the longest at 11 ms.",
]

LONG_HOLD = [
    "Long hold: `io` waited up to 699 ms for `C` to let go.",
    "What happened: `io` had to wait once: 699 ms. `C` held the GIL at regex.py:3 in search and "
    "went on long after it had been asked to let go.",
    "Why: Python code lets go within microseconds of such a request, but a call of C code that "
    "keeps the GIL does not hear it until it is over. Whether it computed or was blocked is not "
    "on record.",
    "What it cost: 699 ms (>99 % of the time).",
    "What to do: Let the GIL go in that C code (Py_BEGIN_ALLOW_THREADS, nogil in Cython), give it "
    "less at a time, or call it in another process. A shorter switch interval does not help.",
    "Evidence: 50 % sure: 1 wait from 1 ms to 700 ms.",
]

EQUALS = [
    "Contention of equals: `B` and `A` compute and take turns.",
    "What happened: They had to wait 5 times: 4.9 ms each time on average, 5 ms at worst.",
    "Why: The GIL lets one thread compute at a time. The others wait as long as it does, and take "
    "it away after one switch interval (5 ms); each waits for the others as they do for it. That "
    "is sharing, not a convoy.",
    "What it cost: 24.5 ms (41 % of the time of each on average). With more threads it takes no "
    "less time, only more turns.",
    "What to do: Compute in processes (concurrent.futures.ProcessPoolExecutor), or on a Python "
    "that runs without a GIL.",
    "Evidence: 83 % sure: 5 waits from 500 µs to 25 ms, the longest at 5 ms.",
]


@pytest.mark.parametrize(
    ("text", "words"),
    [(stories.convoy(), CONVOY), (stories.LONG_HOLD, LONG_HOLD), (stories.TURNS, EQUALS)],
    ids=["convoy", "long hold", "equals"],
)
def test_a_finding_is_told_in_these_words(text: str, words: list[str]) -> None:
    """The first story of each timeline, word by word."""
    assert told(timeline(text))[: len(words)] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            stories.HEALTHY,
            [
                "No convoy: if this program is slow, the GIL is not why.",
                "What happened: The GIL was held 62 % of the time. Nobody waited for it.",
            ],
        ),
        (
            stories.MILD,
            [
                "No convoy: if this program is slow, the GIL is not why.",
                "What happened: The GIL was held >99 % of the time. For <1 % of the time anybody "
                "waited for it: 1 wait, 300 µs at most. None of them looked like those of a "
                "convoy.",
            ],
        ),
        (
            stories.LOST,
            [
                "No convoy was seen, but the record has gaps.",
                "What happened: The GIL was held 90 % of the time. Nobody waited for it: no other "
                "thread used it. But only 19 % of the events are on record.",
            ],
        ),
    ],
    ids=["healthy", "mild", "gaps"],
)
def test_good_news_says_why(text: str, words: list[str]) -> None:
    """Nothing is the matter, and the numbers that say so; with gaps it is not as sure."""
    assert told(timeline(text)) == words


def test_what_matters_less_is_told_in_a_line() -> None:
    """Another process's good news, and other views of the same waits."""
    assert in_short(timeline(stories.TWO_PROCESSES)) == [
        "No convoy: if this program is slow, the GIL is not why (process 100)."
    ]


def test_a_hog_that_does_not_run_is_told_from_one_that_computes() -> None:
    """The CPU clock at both ends of a long hold says which it was."""
    text = """
        C:  hold 0-700ms at x.py:3 in call check cpu={}
        io: wait 1-700ms request@6ms request@11ms hold 700-701ms at server.py:41 in handle
    """
    idle = told(timeline(text.format("0-1ms")))
    busy = told(timeline(text.format("0-699ms")))
    assert "`C` did not even run for >99 % of it: it was blocked in C code" in idle[2]
    assert "in that C code" in next(line for line in busy if line.startswith("What to do"))
    remedy = next(line for line in idle if line.startswith("What to do"))
    assert "If the machine has more to do than it has cores" in remedy
    assert "`C` computed meanwhile: its CPU clock went on." in busy[2]


def test_every_kind_has_its_words() -> None:
    """Whatever is found can be told, and no part of it is left without a word."""
    seen = set()
    for text in (
        stories.convoy(), stories.LONG_HOLD, stories.TURNS, stories.HEALTHY, stories.ping_pong(),
        stories.starvation(), stories.HELD_IDLE, stories.needless(),
        stories.TWO_PROCESSES, stories.INVERSION,
    ):  # fmt: skip
        results = Results(timeline(text))
        for finding in results.findings:
            story = tell(results, finding)
            seen.add(finding.kind)
            assert story.title.endswith(".")
            if finding.kind is not Kind.HEALTHY:
                assert len(story.parts) == 5
                assert all(text.endswith(".") for _head, text in story.parts)
    assert seen == set(Kind)


def test_hostile_names_cannot_act() -> None:
    """Control characters, bidirectional overrides and endless names are shown, not obeyed."""
    name = "x\x1b[2J\u202e" + "y" * 10_000
    trace = timeline(f"A\udc80: hold 0-9ms at e\x1bvil.py:1 in f; {name}: wait 1-9ms hold 9-10ms")
    words = "".join((opening(trace), *told(trace)))
    assert words.isprintable()
    assert r"`A\x80`" in words
    assert r"at e\x1bvil.py:1 in f" in words
    assert r"`x\x1b[2J\u202eyyyyyyyyyyyy…yyyyyyyyyyyyy` lost 8 ms" in words
