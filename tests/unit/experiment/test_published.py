"""The talk's figures, as they were written down by those who were there."""

from __future__ import annotations

from giltrace.experiment import plan, published


def test_figures() -> None:
    """The slow-downs that the talk names follow from its seconds."""
    assert plan.TALK == tuple(published.TALK)
    slowdowns = {name: round(figures.slowdown, 1) for name, figures in published.TALK.items()}
    assert slowdowns == {
        "c-zmq": 1.0,
        "python-zmq": 7.0,
        "multiprocessing": 8.9,
        "blocking": 11.2,
        "nonblocking": 10.0,
    }


def test_only_what_it_measured() -> None:
    """One CPU thread or none, and the five servers."""
    assert 12.8 == published.seconds("c-zmq", 0, "none")
    assert 91.6 == published.seconds("python-zmq", 1, "fib")
    assert published.seconds("python-zmq", 2, "fib") is None
    assert published.seconds("python-zmq", 1, "native") is None
    assert published.seconds("asyncio", 0, "none") is None
