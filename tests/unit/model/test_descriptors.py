"""What file descriptors stood for."""

from __future__ import annotations

from giltrace.capture.records import Descriptor, SourceText
from giltrace.model import build
from giltrace.model.tables import Place
from tests.support.timeline import recording


def test_a_descriptor_changes_its_meaning() -> None:
    """What was seen last before counts; and what was seen first, for any time before that."""
    made = recording("process 1; a: hold 0-1ms; process 2; a: hold 0-1ms")
    made.extra += [
        Descriptor(0, 7, 500, "pipe"),
        Descriptor(0, 7, 100, "tcp listening 0.0.0.0:80"),
        Descriptor(1, 7, 300, "/etc/hosts"),
        Descriptor(9, 7, 300, "of no process"),
    ]
    descriptors = build(made.capture()).descriptors
    assert len(descriptors) == 3
    assert [descriptors.describe_fd(0, 7, ts) for ts in (0, 100, 499, 500, 9_999)] == [
        *["tcp listening 0.0.0.0:80"] * 3,
        *["pipe"] * 2,
    ]
    assert descriptors.describe_fd(1, 7, 0) == "/etc/hosts"
    assert [descriptors.describe_fd(*who, 0) for who in ((0, 8), (2, 7), (0, -1))] == ["", "", ""]


def test_source_text_is_kept() -> None:
    """The recorded lines are there, and what stands at places is found in them."""
    made = recording("a: hold 0-1ms at app.py:3:4-19 in f")
    made.extra.append(SourceText("app.py", 2, "def f():\n    conn.recv(4096)"))
    trace = build(made.capture())
    assert trace.sources == (SourceText("app.py", 2, "def f():\n    conn.recv(4096)"),)
    place = trace.places[int(trace.holds.place[0])]
    assert isinstance(place, Place)
    assert trace.expressions.of(place).callee == "conn.recv"
