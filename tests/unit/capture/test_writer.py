"""What the writer puts into a file."""

from __future__ import annotations

import io
import json

import pytest

from giltrace.capture import CaptureWriter
from giltrace.capture.events import Kind, pack_event, schema
from giltrace.capture.format import FILE_HEADER, FRAME_HEADER, Codec, FrameType
from giltrace.capture.records import GilInfo, SessionInfo, ThreadInfo
from giltrace.capture.scan import Frame, FrameScanner

SESSION = SessionInfo("1.0", ["app.py"], 5, 6)


def event(ts: int, tenure: int) -> bytes:
    """One ACQUIRE."""
    return pack_event(ts, Kind.ACQUIRE, tenure)


def frames(file: io.BytesIO) -> list[Frame]:
    """The whole frames in a file."""
    return list(FrameScanner(file))


def test_a_capture_begins_with_header_and_session() -> None:
    """The file is a capture from the constructor on, and describes its own event layout."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION)
    assert file.getvalue()[: FILE_HEADER.size] == b"\x89GILTRC\n\x01\0\x03\0\0\0\0\0"
    (session,) = frames(file)
    assert session.header.type == FrameType.SESSION
    assert json.loads(session.stored)["schema"] == schema()
    assert writer.bytes_written == len(file.getvalue())


def test_bytes_written_counts_every_frame() -> None:
    """The size is known without asking the file."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION)
    writer.write(ThreadInfo(0, 0, 1, 2))
    writer.events(0, [(0, 1)], event(1, 1))
    assert writer.bytes_written == len(file.getvalue())


def test_each_call_is_one_write() -> None:
    """A reader of an unbuffered file meets at most one incomplete frame."""

    class Counting(io.BytesIO):
        writes = 0

        def write(self, raw: object) -> int:
            self.writes += 1
            return super().write(raw)  # type: ignore[arg-type]

    file = Counting()
    writer = CaptureWriter(file, SESSION)
    before = file.writes
    writer.write(GilInfo(0, 0))
    writer.events(0, [(0, 1)], event(1, 1))
    assert file.writes == before + 2


@pytest.mark.parametrize(
    ("compress", "count", "codec"),
    [(True, 1000, Codec.PLANES), (True, 2, Codec.RAW), (False, 1000, Codec.RAW)],
)
def test_codec(compress: bool, count: int, codec: Codec) -> None:
    """Events are compressed unless told otherwise, or too few to gain anything."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION, compress=compress)
    writer.events(0, [(0, count)], b"".join(event(i * 1000, i) for i in range(count)))
    assert frames(file)[-1].header.codec == codec


def test_incompressible_events_are_stored_raw() -> None:
    """No codec makes a payload longer."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION)
    state, noise = 1, bytearray()
    for _ in range(64 * 16):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        noise.append(state >> 56)
    writer.events(0, [(0, 64)], bytes(noise))
    assert frames(file)[-1].header.codec == Codec.RAW


def test_events_may_be_a_memoryview_of_any_item_size() -> None:
    """A ring's memory is taken as it is."""
    raw = event(1, 1) + event(2, 2)
    files = io.BytesIO(), io.BytesIO()
    CaptureWriter(files[0], SESSION).events(0, [(0, 2)], raw)
    CaptureWriter(files[1], SESSION).events(0, [(0, 2)], memoryview(raw).cast("Q"))
    assert files[0].getvalue() == files[1].getvalue()


def test_no_events_make_no_frame() -> None:
    """Draining empty rings costs nothing."""
    file = io.BytesIO()
    CaptureWriter(file, SESSION).events(0, [(0, 0)], b"")
    assert len(frames(file)) == 1


def test_runs_must_add_up() -> None:
    """A wrong count is a mistake of the caller and writes nothing."""
    file = io.BytesIO()
    writer = CaptureWriter(file, SESSION)
    with pytest.raises(ValueError, match="runs of 2 events in all, but 16 bytes"):
        writer.events(0, [(0, 1), (1, 1)], event(1, 1))
    assert len(frames(file)) == 1


def test_too_many_events_for_a_frame_are_split() -> None:
    """A reader needs memory for one frame only, however late the rings are drained."""
    count = (1 << 20) + 1
    file = io.BytesIO()
    CaptureWriter(file, SESSION).events(3, [(7, count), (8, 1)], event(1, 1) * (count + 1))
    heads = [frame.payload() for frame in frames(file)[1:]]
    assert [head and head[:16].hex(" ", 4) for head in heads] == [
        "03000000 01000000 07000000 00001000",
        "03000000 01000000 07000000 01000000",
        "03000000 01000000 08000000 01000000",
    ]


def test_a_record_too_large_to_be_read_is_refused() -> None:
    """The bound that readers enforce holds for the writer too."""
    writer = CaptureWriter(io.BytesIO(), SESSION)
    with pytest.raises(ValueError, match="a ThreadInfo of 16777"):
        writer.write(ThreadInfo(0, 0, 1, 2, "x" * (16 << 20)))


def test_frame_header_is_20_bytes() -> None:
    """The header has the documented size."""
    assert FRAME_HEADER.size == 20
