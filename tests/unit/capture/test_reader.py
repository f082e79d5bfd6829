"""Reading whole, growing, damaged and hostile files."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from giltrace.capture import Capture, CaptureError, CaptureWriter, Loss, read
from giltrace.capture.events import Kind, pack_event, schema
from giltrace.capture.format import MAX_EVENTS_PAYLOAD, Codec, FrameType, file_header, pack_frame
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
    encode,
)
from giltrace.capture.scan import FrameScanner

SESSION = SessionInfo("1.0", ["app.py"], 5, 6, schema=schema())
END = End(100, 0, None)


def event(ts: int, tenure: int) -> bytes:
    """One ACQUIRE."""
    return pack_event(ts, Kind.ACQUIRE, tenure)


def acquires(count: int) -> bytes:
    """So many ACQUIREs, numbered from 0, 7 ns apart."""
    return b"".join(event(1000 + i * 7, i) for i in range(count))


def frame(frame_type: int, payload: bytes, codec: int = Codec.RAW, raw_len: int = -1) -> bytes:
    """A frame of a stored payload; ``raw_len`` is its own length unless given."""
    return pack_frame(frame_type, codec, payload, len(payload) if raw_len < 0 else raw_len)


def record_frame(frame_type: int, record: Record) -> bytes:
    """A frame of a record."""
    return frame(frame_type, encode(record))


def events_payload(process: int, runs: list[tuple[int, int]], events: bytes) -> bytes:
    """The payload of an EVENTS frame; nothing makes the runs fit the events."""
    head = struct.pack("<II", process, len(runs))
    return head + b"".join(struct.pack("<II", *run) for run in runs) + events


SESSION_FRAME = record_frame(FrameType.SESSION, SESSION)
END_FRAME = record_frame(FrameType.END, END)


@pytest.fixture
def read_bytes(tmp_path: Path) -> Callable[..., Capture]:
    """Reads a capture file of the given frames."""

    def read_frames(*frames: bytes) -> Capture:
        path = tmp_path / "x.giltrace"
        path.write_bytes(file_header() + b"".join(frames))
        return read(path)

    return read_frames


def test_all_records_come_back(tmp_path: Path) -> None:
    """Each record lands in its list, in file order."""
    path = tmp_path / "x.giltrace"
    process = ProcessInfo(0, 10, 1, 2, "3.12.1")
    threads = [ThreadInfo(0, i, 10 + i, 3) for i in range(3)]
    code = CodeInfo(0, 1, 1, "a.py", "f", b"\x80\x00")
    sample = Sample(0, 1, 2, 3, 4, 5, 6, 7, [])
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        rest: list[Record] = [GilInfo(0, 0), ThreadName(0, 1, 4, "n"), SwitchInterval(0, 0, 1, 2)]
        rest += [CallInfo(0, 3, "f"), SourceText("a.py", 2, "x\ny"), Descriptor(0, 7, 5, "pipe")]
        records: list[Record] = [process, *threads, code, sample, *rest, ProcessEnd(0, 9, 0), END]
        for record in records:
            writer.write(record)
    assert read(path) == Capture(
        session=SESSION,
        processes=[process],
        threads=threads,
        thread_names=[ThreadName(0, 1, 4, "n")],
        gils=[GilInfo(0, 0)],
        codes=[code],
        samples=[sample],
        process_ends=[ProcessEnd(0, 9, 0)],
        switch_intervals=[SwitchInterval(0, 0, 1, 2)],
        calls=[CallInfo(0, 3, "f")],
        sources=[SourceText("a.py", 2, "x\ny")],
        descriptors=[Descriptor(0, 7, 5, "pipe")],
        end=END,
        loss=Loss(ended=True),
    )


@pytest.mark.parametrize("compress", [True, False])
def test_events_come_back_as_columns(tmp_path: Path, compress: bool) -> None:
    """Events of each process are in file order, with the thread of their run."""
    path = tmp_path / "x.giltrace"
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION, compress=compress)
        writer.events(0, [(1, 40), (0, 20)], acquires(60))
        writer.events(5, [(9, 1)], event(3, 4))
        writer.events(0, [(0, 1)], event(1 << 63, 2))
    capture = read(path)
    assert list(capture.events) == [0, 5]
    columns = capture.events[0]
    assert len(columns) == 61
    assert columns.ts.tolist() == [*(1000 + i * 7 for i in range(60)), 1 << 63]
    assert columns.data.tolist() == [*(1 | i << 16 for i in range(60)), 1 | 2 << 16]
    assert columns.thread.tolist() == [1] * 40 + [0] * 21
    types = [str(column.dtype) for column in (columns.ts, columns.data, columns.thread)]
    assert types == ["uint64", "uint64", "uint32"]
    assert not columns.ts.flags.writeable
    assert capture.events[5].thread.tolist() == [9]


def test_plain_zlib_is_read_too(read_bytes: Callable[..., Capture]) -> None:
    """Another writer may use the simpler codec."""
    payload = events_payload(0, [(0, 50)], acquires(50))
    stored = zlib.compress(payload)
    capture = read_bytes(
        SESSION_FRAME, frame(FrameType.EVENTS, stored, Codec.ZLIB, len(payload)), END_FRAME
    )
    assert capture.loss == Loss(ended=True)
    assert len(capture.events[0]) == 50


def test_no_more_than_max_events_are_kept(tmp_path: Path) -> None:
    """The rest is counted, whatever process it belongs to."""
    path = tmp_path / "x.giltrace"
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        writer.events(0, [(0, 10), (1, 20)], acquires(30))
        writer.events(1, [(0, 5)], acquires(5))
    capture = read(path, max_events=12)
    assert capture.events[0].thread.tolist() == [0] * 10 + [1] * 2
    assert list(capture.events) == [0]
    assert capture.loss == Loss(events_unread=23)


def test_a_growing_file_can_be_read_at_any_moment(tmp_path: Path) -> None:
    """Between and within frames a reader gets what is whole, without an END."""
    path = tmp_path / "x.giltrace"
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        writer.flush()
        assert read(path).loss == Loss()
        writer.write(GilInfo(0, 0))
        writer.flush()
        assert read(path).gils == [GilInfo(0, 0)]
        file.write(END_FRAME[:30])
        file.flush()
        assert read(path).loss == Loss(bytes_skipped=30, truncated=True, damaged_frames=1)
        file.write(END_FRAME[30:])
        file.flush()
        assert read(path).loss == Loss(ended=True)


def test_a_scanner_goes_on_where_the_file_grew() -> None:
    """Iterating again yields only new frames and keeps no half ones."""
    file = io.BytesIO(file_header() + SESSION_FRAME + END_FRAME[:-1])
    scanner = FrameScanner(file)
    assert [found.header.type for found in scanner] == [FrameType.SESSION]
    assert list(scanner) == []
    file.seek(0, os.SEEK_END)
    file.write(END_FRAME[-1:])
    assert [found.header.type for found in scanner] == [FrameType.END]
    assert (scanner.offset, scanner.bytes_skipped) == (len(file.getvalue()), 0)


def test_a_scanner_can_start_at_an_offset() -> None:
    """A reader that remembers where it was need not read from the start."""
    file = io.BytesIO(file_header() + SESSION_FRAME + END_FRAME)
    scanner = FrameScanner(file, 16 + len(SESSION_FRAME))
    assert [found.header.type for found in scanner] == [FrameType.END]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"GIF89a" * 10, "the file is not a giltrace capture"),
        (b"\x89GI", "the capture is cut off or damaged before the end of its first record"),
        (file_header(), "the capture is cut off or damaged before the end of its first record"),
        (
            file_header() + SESSION_FRAME[:-1],
            "the capture is cut off or damaged before the end of its first record",
        ),
        (
            b"\x89GILTRC\n\x02\0\0\0\0\0\0\0" + SESSION_FRAME,
            "the capture has format version 2; this giltrace reads version 1",
        ),
        (
            b"\x89GILTRC\n\0\0\0\0\0\0\0\0" + SESSION_FRAME,
            "the capture has format version 0, which never existed",
        ),
    ],
)
def test_what_is_no_capture_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    """The message names the file and says what is wrong with it."""
    path = tmp_path / "x.giltrace"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("minor", [0, 7])
def test_other_minor_versions_are_read(tmp_path: Path, minor: int) -> None:
    """Minor versions only add: older and newer ones are read."""
    path = tmp_path / "x.giltrace"
    path.write_bytes(b"\x89GILTRC\n\x01\0" + bytes([minor]) + b"\0\0\0\0\0" + SESSION_FRAME)
    assert read(path).version == (1, minor)


def test_what_can_not_be_opened_is_one_error(tmp_path: Path) -> None:
    """Missing files, directories, pipes and impossible names raise nothing else."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, message in [
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
    ]:
        with pytest.raises(CaptureError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(CaptureError, match=r"null (byte|character)"):
        read("a\0b")


def test_unknown_frames_are_skipped_and_counted(read_bytes: Callable[..., Capture]) -> None:
    """A type or codec from a later minor version is no damage."""
    capture = read_bytes(
        SESSION_FRAME,
        frame(200, b"new"),
        frame(FrameType.GIL, b"x", 1, 10),
        frame(FrameType.EVENTS, b"x", 9, 1000),
        END_FRAME,
    )
    assert capture.loss == Loss(ended=True, unknown_frames=3)
    assert capture.end == END


def test_garbage_between_frames_is_skipped_and_counted(
    read_bytes: Callable[..., Capture],
) -> None:
    """The next sound frame is found, even among bytes that look like the start of one."""
    capture = read_bytes(b"xTGTTG", SESSION_FRAME, b"TG" * 50_000, END_FRAME)
    assert (capture.session, capture.end) == (SESSION, END)
    assert capture.loss == Loss(bytes_skipped=100_006, ended=True, damaged_frames=2)


def test_missing_bytes_within_a_frame_do_not_take_the_next_frames_along(
    read_bytes: Callable[..., Capture],
) -> None:
    """Frames that begin inside the announced length of a damaged one are found."""
    gil = record_frame(FrameType.GIL, GilInfo(0, 0))
    capture = read_bytes(SESSION_FRAME, gil[:-8], gil, END_FRAME)
    assert capture.gils == [GilInfo(0, 0)]
    assert capture.loss == Loss(bytes_skipped=len(gil) - 8, ended=True, damaged_frames=1)


def test_a_lost_session_leaves_the_rest_readable(read_bytes: Callable[..., Capture]) -> None:
    """Without the first record its fields are empty and the loss is known."""
    capture = read_bytes(b"\0" * 10, END_FRAME)
    assert capture.session == SessionInfo("", [], 0, 0)
    assert capture.loss == Loss(bytes_skipped=10, ended=True, damaged_frames=1)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0" * 7,
        struct.pack("<II", 0, 1),
        struct.pack("<II", 0, 0xFFFFFFFF),
        struct.pack("<II", 0, 0) + bytes(16),
        events_payload(0, [(0, 2)], bytes(16)),
        events_payload(0, [(0, 1)], bytes(17)),
        events_payload(0, [(0, 0xFFFFFFFF), (0, 0xFFFFFFFF), (0, 3)], bytes(16)),
    ],
)
def test_wrong_events_are_damage(read_bytes: Callable[..., Capture], payload: bytes) -> None:
    """Counts that do not add up discard the frame."""
    bad = frame(FrameType.EVENTS, payload)
    capture = read_bytes(SESSION_FRAME, bad, END_FRAME)
    assert capture.events == {}
    assert capture.loss == Loss(bytes_skipped=len(bad), ended=True, damaged_frames=1)


def test_wrong_records_are_damage(read_bytes: Callable[..., Capture]) -> None:
    """A frame with sound checksums but the wrong content is skipped whole."""
    bad = frame(FrameType.GIL, b"{}")
    capture = read_bytes(SESSION_FRAME, bad, END_FRAME)
    assert capture.loss == Loss(bytes_skipped=len(bad), ended=True, damaged_frames=1)


@pytest.mark.parametrize(
    ("stored", "raw_len"),
    [
        (b"not zlib at all", 100),
        (zlib.compress(bytes(100))[:-1], 100),
        (zlib.compress(bytes(100)), 99),
        (zlib.compress(bytes(100)), 101),
    ],
)
@pytest.mark.parametrize("codec", [Codec.ZLIB, Codec.PLANES])
def test_wrong_compressed_data_is_damage(
    read_bytes: Callable[..., Capture], stored: bytes, raw_len: int, codec: Codec
) -> None:
    """What does not unpack to the announced length is skipped."""
    bad = frame(FrameType.EVENTS, stored, codec, raw_len)
    capture = read_bytes(SESSION_FRAME, bad, END_FRAME)
    assert capture.loss == Loss(bytes_skipped=len(bad), ended=True, damaged_frames=1)


def test_impossible_lengths_are_damage(read_bytes: Callable[..., Capture]) -> None:
    """A header beyond the bounds is no header, however right its checksum."""
    for bad in (
        frame(FrameType.EVENTS, b"x", Codec.ZLIB, MAX_EVENTS_PAYLOAD + 1),
        frame(FrameType.GIL, b"x", Codec.RAW, (16 << 20) + 1),
        frame(FrameType.EVENTS, b"xyz", Codec.ZLIB, 2),
    ):
        capture = read_bytes(SESSION_FRAME, bad, END_FRAME)
        assert capture.loss == Loss(bytes_skipped=len(bad), ended=True, damaged_frames=1)


def test_a_decompression_bomb_takes_no_memory(read_bytes: Callable[..., Capture]) -> None:
    """No more is unpacked than the header announces."""
    bomb = zlib.compress(bytes(64 << 20))
    bad = frame(FrameType.EVENTS, bomb, Codec.ZLIB, 100_000)
    tracemalloc.start()
    try:
        capture = read_bytes(SESSION_FRAME, bad, END_FRAME)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert capture.loss.damaged_frames == 1
    assert peak < 4 << 20


def test_a_short_file_that_announces_much_takes_no_memory(
    read_bytes: Callable[..., Capture],
) -> None:
    """Memory is taken for what is in the file, not for what it claims."""
    long = pack_frame(FrameType.EVENTS, Codec.RAW, bytes(MAX_EVENTS_PAYLOAD), MAX_EVENTS_PAYLOAD)
    start = long[:100]
    del long
    tracemalloc.start()
    try:
        capture = read_bytes(SESSION_FRAME, start)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert capture.loss == Loss(bytes_skipped=100, truncated=True, damaged_frames=1)
    assert peak < 4 << 20


def test_sound_headers_over_bad_payloads_do_not_cost_quadratic_time() -> None:
    """The bytes that are read stay within a bound that is linear in the size of the file."""

    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            raw = super().read(size)
            self.total += len(raw)
            return raw

    header = struct.pack("<2sBBIII", b"TG", 200, 0, 400_000, 400_000, 12345)
    file = Counting(file_header() + (header + struct.pack("<I", zlib.crc32(header[:16]))) * 40_000)
    assert list(FrameScanner(file)) == []
    assert file.total < (64 << 20) + 8 * len(file.getvalue())


def test_events_take_little_memory(tmp_path: Path) -> None:
    """While a file is read, its events exist once, in columns, plus room to grow."""
    path = tmp_path / "x.giltrace"
    part = acquires(50_000)
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        for _ in range(20):
            writer.events(0, [(0, 50_000)], part)
    tracemalloc.start()
    try:
        capture = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(capture.events[0]) == 1_000_000
    assert peak < 48_000_000
