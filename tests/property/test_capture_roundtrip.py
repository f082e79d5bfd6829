"""Whatever is written comes back."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture import CaptureWriter, read
from giltrace.capture.events import GIL_MASK
from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    Descriptor,
    End,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    Record,
    Sample,
    SessionInfo,
    SourceText,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)

INDEX = st.integers(0, (1 << 32) - 1)
GIL = st.integers(0, GIL_MASK)
INT = st.integers(-(1 << 63), (1 << 63) - 1)
# All code points, lone surrogates included: text from a target can hold anything.
TEXT = st.text(st.characters(exclude_categories=[]))
TEXTS = st.lists(TEXT, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | INT | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
ROWS = st.lists(st.lists(INT, min_size=5, max_size=5), max_size=3)

SESSIONS = st.builds(
    SessionInfo, TEXT, TEXTS, INT, INT, TEXT, TEXT, OBJECT, OBJECT.filter(lambda schema: schema)
)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        ProcessInfo,
        *(INDEX, INT, INT, INT, TEXT, TEXT, TEXT, TEXTS, TEXT, INT, st.booleans(), TEXTS),
    ),
    st.builds(ThreadInfo, INDEX, INDEX, INT, INT, TEXT),
    st.builds(ThreadName, INDEX, INDEX, INT, TEXT),
    st.builds(GilInfo, INDEX, GIL, INT, INT),
    st.builds(CodeInfo, INDEX, INDEX, INDEX, TEXT, TEXT, st.binary()),
    st.builds(Sample, INDEX, INT, INT, INT, INT, INT, INT, INT, ROWS),
    st.builds(ProcessEnd, INDEX, INT, INT, TEXT),
    st.builds(End, INT, st.none() | INT, st.none() | INT, TEXT),
    st.builds(SwitchInterval, INDEX, GIL, INT, INT),
    st.builds(CallInfo, INDEX, INDEX, TEXT),
    st.builds(SourceText, TEXT, INDEX, TEXT),
    st.builds(Descriptor, INDEX, INDEX, INT, TEXT),
)


@st.composite
def event_batches(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], bytes]:
    """Arguments for `CaptureWriter.events`, repetitive enough to be compressed now and then."""
    runs = draw(st.lists(st.tuples(INDEX, st.integers(0, 12)), max_size=4))
    count = sum(count for _, count in runs)
    pattern = draw(st.binary(min_size=1, max_size=40))
    return draw(st.integers(0, 2)), runs, (pattern * (16 * count))[: 16 * count]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(SESSIONS, st.lists(RECORDS | event_batches(), max_size=8), st.booleans())
def test_everything_comes_back(
    tmp_path_factory: pytest.TempPathFactory, session: SessionInfo, items: list[Any], compress: bool
) -> None:
    """Any sequence of records and events is read as it was written, and nothing is lost."""
    path = tmp_path_factory.getbasetemp() / "roundtrip.giltrace"
    expected: dict[type, list[Any]] = defaultdict(list)
    events: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    with path.open("wb") as file:
        writer = CaptureWriter(file, session, compress=compress)
        for item in items:
            if isinstance(item, tuple):
                writer.events(*item)
                _expect_events(events, *item)
            else:
                writer.write(item)
                expected[type(item)].append(item)
    capture = read(path)
    assert capture.session == session
    assert _by_type(
        *(capture.processes, capture.threads, capture.thread_names, capture.gils, capture.codes),
        *(capture.samples, capture.process_ends, capture.switch_intervals, capture.calls),
        *(capture.sources, capture.descriptors),
    ) == {kind: found for kind, found in expected.items() if kind is not End}
    assert capture.end == (expected[End][-1] if expected[End] else None)
    assert {
        process: list(
            zip(found.ts.tolist(), found.data.tolist(), found.thread.tolist(), strict=True)
        )
        for process, found in capture.events.items()
    } == events
    assert (capture.loss.bytes_skipped, capture.loss.damaged_frames) == (0, 0)
    assert path.stat().st_size == writer.bytes_written


def _expect_events(
    into: dict[int, list[tuple[int, int, int]]],
    process: int,
    runs: list[tuple[int, int]],
    events: bytes,
) -> None:
    threads = [thread for thread, count in runs for _ in range(count)]
    for thread, (ts, data) in zip(threads, struct.iter_unpack("<QQ", events), strict=True):
        into[process].append((ts, data, thread))


def _by_type(*columns: list[Any]) -> dict[type, list[Any]]:
    return {type(column[0]): column for column in columns if column}
