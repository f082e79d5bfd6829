"""A damaged capture gives what is whole, says what is lost, and raises one kind of error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture import Capture, CaptureError, CaptureWriter, read
from giltrace.capture.events import Kind, pack_event, pack_place
from giltrace.capture.format import FILE_HEADER, FrameType, file_header, pack_frame
from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    Descriptor,
    End,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    Record,
    SessionInfo,
    SourceText,
    ThreadInfo,
)

SESSION = SessionInfo("1.0", ["a"], 1, 2, schema={"clock": "ns"})
RECORDS: list[Record] = [
    ProcessInfo(0, 10, 1, 2, "3.12.1"),
    ThreadInfo(0, 0, 10, 2),
    GilInfo(0, 0),
    CodeInfo(0, 1, 1, "a.py", "TG", b"\x80\x00"),
    CallInfo(0, 1, "f"),
    SourceText("a.py", 1, "x"),
    Descriptor(0, 7, 3, "pipe"),
]
COUNT = 24
# The bytes whose change no reader can notice: the minor version and the reserved word.
UNCHECKED = range(10, FILE_HEADER.size)


def build() -> tuple[bytes, list[int]]:
    """A small capture with a frame of most types, and the offset at which each frame ends."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION)
    ends = [writer.bytes_written]
    for record in RECORDS:
        writer.write(record)
        ends.append(writer.bytes_written)
    for process in (0, 1):
        events = b"".join(
            pack_event(1000 + i * 500, Kind.ACQUIRE if i % 2 else Kind.RELEASE, pack_place(1, i))
            for i in range(COUNT)
        )
        writer.events(process, [(0, COUNT - 3), (1, 3)], events)
        ends.append(writer.bytes_written)
    for record in (ProcessEnd(0, 9, 0), End(10, 0, None)):
        writer.write(record)
        ends.append(writer.bytes_written)
    return file.getvalue(), ends


CONTENT, ENDS = build()


def everything(capture: Capture) -> Iterator[object]:
    """All of a capture's records and event columns, comparable."""
    yield from (*capture.processes, *capture.threads, *capture.gils, *capture.codes)
    yield from (*capture.calls, *capture.sources, *capture.descriptors)
    for process, events in capture.events.items():
        yield process, events.ts.tolist(), events.data.tolist(), events.thread.tolist()
    yield from capture.process_ends
    if capture.end:
        yield capture.end


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the damaged file goes."""
    return tmp_path_factory.mktemp("damage") / "x.giltrace"


@pytest.fixture(scope="module")
def whole(path: Path) -> list[object]:
    """What the undamaged capture holds."""
    path.write_bytes(CONTENT)
    return list(everything(read(path)))


def test_a_cut_at_every_byte(path: Path, whole: list[object]) -> None:
    """Each cut leaves the frames before it and is reported to the byte, or is one error."""
    assert len(whole) == len(ENDS) - 1
    for cut in range(len(CONTENT)):
        path.write_bytes(CONTENT[:cut])
        if cut < ENDS[0]:
            with pytest.raises(CaptureError):
                read(path)
            continue
        capture = read(path)
        frames = sum(end <= cut for end in ENDS)
        assert capture.session == SESSION
        assert list(everything(capture)) == whole[: frames - 1]
        assert capture.loss.bytes_skipped == cut - ENDS[frames - 1]
        assert capture.loss.truncated == (cut not in ENDS)
        assert not capture.loss.ended


def test_a_flipped_bit_in_every_byte(path: Path, whole: list[object]) -> None:
    """A flip costs at most the frame that it is in, and no wrong record ever comes out."""
    for at in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        if at < UNCHECKED.start:
            with pytest.raises(CaptureError):
                read(path)
            continue
        capture = read(path)
        if at in UNCHECKED:
            assert list(everything(capture)) == whole
            continue
        hit = sum(end <= at for end in ENDS)
        size = ENDS[hit] - (ENDS[hit - 1] if hit else FILE_HEADER.size)
        assert list(everything(capture)) == [r for i, r in enumerate(whole, 1) if i != hit]
        assert (capture.loss.bytes_skipped, capture.loss.damaged_frames) == (size, 1)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 7)), max_size=12),
    cuts=st.lists(st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 60)), max_size=3),
    inserts=st.lists(st.tuples(st.integers(0, len(CONTENT)), st.binary(max_size=60)), max_size=3),
)
def test_any_damage_is_survived(
    path: Path,
    whole: list[object],
    flips: list[tuple[int, int]],
    cuts: list[tuple[int, int]],
    inserts: list[tuple[int, bytes]],
) -> None:
    """Flipped bits, missing and foreign bytes give a subset of the records or one error."""
    damaged = bytearray(CONTENT)
    for at, bit in flips:
        damaged[at] ^= 1 << bit
    for at, length in cuts:
        del damaged[at : at + length]
    for at, foreign in inserts:
        damaged[at:at] = foreign
    path.write_bytes(damaged)
    try:
        capture = read(path)
    except CaptureError:
        return
    found = list(everything(capture))
    assert found == [record for record in whole if record in found]
    if len(found) < len(whole):
        lost = capture.loss
        assert lost.bytes_skipped or lost.truncated or not lost.ended


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*FrameType, 0, len(FrameType) + 1, 255]),
            st.integers(0, 3),
            st.binary(max_size=80),
            st.integers(0, 100),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_payload_under_sound_checksums_is_survived(
    path: Path, frames: list[tuple[int, int, bytes, int]]
) -> None:
    """A file made by hand, with every checksum right, raises nothing but `CaptureError`."""
    path.write_bytes(
        file_header()
        + b"".join(
            pack_frame(frame_type, codec, payload, len(payload) + (more if codec else 0))
            for frame_type, codec, payload, more in frames
        )
    )
    capture = read(path)
    assert capture.loss.bytes_skipped <= path.stat().st_size - FILE_HEADER.size
