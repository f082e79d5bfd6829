"""Exported files, whole, against the ones kept beside this module.

After an intended change: ``GILTRACE_UPDATE_GOLDEN=1 python -m pytest tests/golden``, and read the
difference before committing it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from giltrace.export.registry import create
from giltrace.model.trace import Trace
from tests.support.perfetto_file import parse
from tests.support.timeline import timeline

HERE = Path(__file__).parent

STORY = """
    process 100 ppid=1 end=12ms python=3.13.0
    gil 1 interpreter=3 created=8ms
    MainThread: hold 0-5.1ms at spin.py:12 in spin check
    MainThread: wait 5.1-5.130002ms hold 5.130002-5.130002ms at spin.py:12 in spin
    MainThread: hold 6-7ms at spin.py:13 in spin  hold 8-9ms gil=1 at sub.py:1 in <module>
    MainThread: hold 9-12ms at spin.py:12 in spin still
    io, "quoted": wait 0.1-5.100001ms request@5.05ms
    io, "quoted": hold 5.100001-5.130002ms at server.py:41:4-20 in handle
    io, "quoted": wait 10ms-
    process 200 ppid=100 end=9ms lost=3
    MainThread: hold 1-2ms at child.py:7 in main lost 3 hold 4-5ms at child.py:8 in main
"""


@pytest.fixture
def trace() -> Trace:
    """Two processes, three GILs, and one of everything that can happen."""
    return timeline(STORY)


@pytest.fixture(autouse=True)
def no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of giltrace is no reason to look at these files again."""
    monkeypatch.setattr("giltrace.export.chrome.__version__", "VERSION")
    monkeypatch.setattr("giltrace.export.perfetto.__version__", "VERSION")


def exported(name: str, trace: Trace) -> bytes:
    """The file in one of the formats."""
    out = io.BytesIO()
    create(name).write(trace, out)
    return out.getvalue()


def compare(file: str, content: bytes) -> None:
    """Content must be that of the file, which is rewritten on request."""
    path = HERE / file
    if os.environ.get("GILTRACE_UPDATE_GOLDEN"):
        path.write_bytes(content)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("name", "file"), [("csv", "story.csv"), ("chrome", "story.json")])
def test_text_formats(name: str, file: str, trace: Trace) -> None:
    """CSV and Chrome JSON are the same byte for byte."""
    compare(file, exported(name, trace))


def test_perfetto(trace: Trace) -> None:
    """Perfetto says the same when it is read back; its bytes are zlib's affair too."""
    compare("story.perfetto.txt", parse(exported("perfetto", trace)).dump().encode())
