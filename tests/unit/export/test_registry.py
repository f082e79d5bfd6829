"""The registry of export formats."""

from __future__ import annotations

import pytest

from giltrace.errors import GiltraceError
from giltrace.export.registry import create, names


def test_formats_in_order_of_preference() -> None:
    """The formats are known by name, the preferred one first."""
    assert names() == ["perfetto", "chrome", "firefox", "csv", "parquet"]


@pytest.mark.parametrize(
    ("name", "suffix"), [("perfetto", ".pftrace"), ("chrome", ".json"), ("csv", ".csv")]
)
def test_creates_each(name: str, suffix: str) -> None:
    """Each exporter says its own name and the suffix of its files."""
    exporter = create(name)
    assert (exporter.name, exporter.suffix) == (name, suffix)


def test_unknown_format_says_which_there_are() -> None:
    """A wrong name is the user's mistake: the hint lists the right ones."""
    with pytest.raises(GiltraceError) as caught:
        create("svg")
    assert caught.value.message == "there is no export format 'svg'"
    assert caught.value.hint == "Choose one of: perfetto, chrome, firefox, csv, parquet."


def test_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format whose package is not installed says how to get it."""
    monkeypatch.setattr(
        "giltrace.export.registry._EXPORTERS", {"odd": "giltrace_no_such_module:Exporter"}
    )
    with pytest.raises(GiltraceError) as caught:
        create("odd")
    assert "giltrace_no_such_module" in caught.value.message
    assert caught.value.hint == "Install it with: python -m pip install giltrace_no_such_module"


def test_options_belong_to_the_exporter() -> None:
    """An option that a format does not have is refused by its constructor."""
    create("perfetto", level=1)
    with pytest.raises(TypeError):
        create("csv", level=1)
