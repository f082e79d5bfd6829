"""Text from a target, made safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giltrace.model.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Thread-1 (spin)", "Thread-1 (spin)"),
        ("Grüße 日本", "Grüße 日本"),
        ("red\x1b[31m", r"red\x1b[31m"),
        ("two\nlines\t", r"two\nlines\t"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028separator", r"line\u2028separator"),
        ("not \udc80 utf-8", r"not \x80 utf-8"),
        ("half \ud800", r"half \ud800"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
    ],
)
def test_shows_text_and_nothing_else(text: str, shown: str) -> None:
    """Whatever could act on a terminal is written as an escape; the rest is untouched."""
    assert printable(text) == shown


def test_long_text_keeps_both_ends() -> None:
    """The middle goes, and the result has exactly the length allowed."""
    shown = printable("a" * 5000 + "z" * 5000, 12)
    assert shown == "aaaaaaaa…zzz"


def test_an_escape_is_never_cut() -> None:
    """Shortening leaves whole escapes only."""
    assert printable("\x1b" * 10_000, 20) == r"\x1b\x1b\x1b…\x1b"


@given(st.text(st.characters(codec=None), max_size=300), st.integers(8, 100))
def test_any_text_fits_and_is_printable(text: str, limit: int) -> None:
    """For any text the result is printable, within the limit and can be encoded."""
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
