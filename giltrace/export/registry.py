"""The exporters by name. A new one is one module and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, cast

from giltrace.errors import GiltraceError
from giltrace.export.base import Exporter

# Import paths, not classes: listing the formats should not load any of them.
_EXPORTERS: Final = {
    "perfetto": "giltrace.export.perfetto:PerfettoExporter",
    "chrome": "giltrace.export.chrome:ChromeExporter",
    "firefox": "giltrace.export.firefox:FirefoxExporter",
    "csv": "giltrace.export.csv:CsvExporter",
    "parquet": "giltrace.export.parquet:ParquetExporter",
}

_EXTRAS: Final = {"parquet": "'giltrace[parquet]'"}

# The first that fits counts.
_SUFFIXES: Final = {
    ".pftrace": "perfetto",
    ".perfetto-trace": "perfetto",
    ".firefox.json": "firefox",
    ".json": "chrome",
    ".csv": "csv",
    ".parquet": "parquet",
}


def names() -> list[str]:
    """The names of all formats, the preferred one first."""
    return list(_EXPORTERS)


def name_for(filename: str) -> str:
    """The format that a file's name asks for by its suffix; the preferred one if by none."""
    stem = filename.removesuffix(".gz")
    return next((name for suffix, name in _SUFFIXES.items() if stem.endswith(suffix)), names()[0])


def create(name: str, **options: Any) -> Exporter:
    """The exporter called ``name``, made with its own options.

    Raises:
        GiltraceError: there is no such format, or a package that it needs is not installed.
        TypeError: it has no such option.
    """
    if name not in _EXPORTERS:
        raise GiltraceError(
            f"there is no export format {name!r}", f"Choose one of: {', '.join(names())}."
        )
    module, _, attribute = _EXPORTERS[name].partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except ImportError as error:
        raise GiltraceError(
            f"The {name} format needs a package that is missing: {error}.",
            f"Install it with: python -m pip install {_EXTRAS.get(name, error.name or name)}",
        ) from error
    return cast("Exporter", found(**options))
