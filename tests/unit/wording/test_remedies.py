"""What would help, as rows and notes."""

from __future__ import annotations

from giltrace.wording.remedies import outlooks
from giltrace.wording.results import Results
from tests.support import stories
from tests.support.stories import UNSEEN
from tests.support.timeline import timeline


def test_rows_of_a_convoy() -> None:
    """The recording first, then each remedy with what it gains."""
    (outlook,) = outlooks(Results(timeline(stories.convoy())))
    assert outlook.title == "What would help: predicted for each of 2 iterations of MainThread"
    assert outlook.hogs == "Thread-1"
    rows = [(row.name, row.wait, row.cycle, row.gain) for row in outlook.rows]
    assert rows[0] == ("as recorded", "5 ms", "10 ms", "")
    assert ("Thread-1 in another process", "-", "5 ms", "2.0x") in rows
    assert ("switch interval 500 µs", "1 ms", "6 ms", "1.7x") in rows
    assert ("Python without a GIL", "-", "5 ms", "2.0x") in rows
    assert outlook.notes[0] == "Played under its own rules, the recording is missed by 0 %."
    assert not any(row.span for row in outlook.rows) and "ranges" not in "".join(outlook.notes)


def test_what_could_not_be_seen_makes_a_range() -> None:
    """Where no receive ever waited, times are ranges, and the reader is told why and what to do."""
    (outlook,) = outlooks(Results(timeline(UNSEEN)))
    apart = next(row for row in outlook.rows if row.name == "cpu in another process")
    assert " – " in apart.span
    assert " – " in apart.gain
    assert "--think-ms MS" in outlook.notes[0]


def test_told_the_time_it_is_no_range() -> None:
    """What is told is not guessed."""
    (outlook,) = outlooks(Results(timeline(UNSEEN), think_ns=1_000_000))
    apart = next(row for row in outlook.rows if row.name == "cpu in another process")
    assert (apart.span, " – " in apart.gain) == ("", False)
    assert "--think-ms" not in "".join(outlook.notes)


def test_nothing_is_predicted_where_nothing_is_the_matter() -> None:
    """A healthy program needs no remedy."""
    assert outlooks(Results(timeline(stories.HEALTHY))) == []


def test_nothing_is_predicted_for_rounds_in_which_nobody_waits() -> None:
    """One long hold, before anything was done again and again: rounds can become no faster."""
    rounds = " ".join(
        f"hold {t}-{t + 1}ms at s.py:4 in read call=_socket.socket.recv" for t in range(70, 130, 5)
    )
    first = "wait 1-60ms request@6ms hold 60-61ms at s.py:4 in read call=_socket.socket.recv"
    trace = timeline(f"cpu: hold 0-60ms at c.py:1 in crunch check; io: {first} {rounds}")
    results = Results(trace)
    assert results.findings and results.predictions
    assert outlooks(results) == []
