"""The reference page of the file format against the code, and against a reader made from it."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from giltrace.capture import CaptureWriter, read
from giltrace.capture.events import FLAG_AT_CHECK, Kind, pack_event, pack_place
from giltrace.capture.format import RECORD_TYPES, FrameType
from giltrace.capture.linetable import Position, position
from giltrace.capture.records import CodeInfo, End, GilInfo, SessionInfo

pytestmark = pytest.mark.repo

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "capture-format.md"
HEX_LINE = re.compile(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", re.MULTILINE)

EVENTS = [
    pack_event(5_000_000_100, Kind.ACQUIRE, 1),
    pack_event(5_000_002_500, Kind.RELEASE, pack_place(1, 2), flags=FLAG_AT_CHECK),
    pack_event(5_000_000_900, Kind.WAIT, 1),
]


def write_example(file: io.BytesIO) -> None:
    """The worked example of the page."""
    session = SessionInfo(
        "1.0", ["app.py"], 5_000_000_000, 1_700_000_000_000_000_000, schema={"v": 1}
    )
    writer = CaptureWriter(file, session)
    writer.write(GilInfo(0, 0))
    writer.write(
        CodeInfo(0, 1, 7, "app.py", "spin", bytes.fromhex("80 00 d9 04 0d f0 04 01 05 0a"))
    )
    writer.events(0, [(0, 2), (1, 1)], b"".join(EVENTS))
    writer.write(End(5_000_003_000, 0, None))


def example_bytes() -> bytes:
    """The bytes of the page's hex dump, with their offsets checked."""
    content = b""
    for offset, line in HEX_LINE.findall(PAGE.read_text("utf-8")):
        assert int(offset, 16) == len(content)
        content += bytes.fromhex(line)
    return content


def simple_reader(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each frame, written from the page alone, without giltrace."""
    magic, version, _minor, _reserved = struct.unpack_from("<8sHHI", content)
    assert (magic, version) == (b"\x89GILTRC\n", 1)
    at = 16
    while at < len(content):
        sync, kind, codec, stored_len, raw_len, payload_crc, header_crc = struct.unpack_from(
            "<HBBIIII", content, at
        )
        assert (sync, header_crc) == (0x4754, zlib.crc32(content[at : at + 16]))
        payload = content[at + 20 : at + 20 + stored_len]
        assert payload_crc == zlib.crc32(payload)
        if codec:
            payload = zlib.decompress(payload)
        if codec == 2:
            whole = bytearray(raw_len)
            start = 0
            for plane in range(16):
                size = (raw_len - plane + 15) // 16
                whole[plane::16] = payload[start : start + size]
                start += size
            payload = bytes(whole)
        assert len(payload) == raw_len
        yield kind, payload
        at += 20 + stored_len


def test_the_example_is_what_the_writer_writes() -> None:
    """The hex dump of the page is a capture, byte for byte."""
    file = io.BytesIO()
    write_example(file)
    assert example_bytes().hex(" ") == file.getvalue().hex(" ")


def test_the_example_is_read_as_the_page_says(tmp_path: Path) -> None:
    """The reader finds in the dump what the text around it tells."""
    path = tmp_path / "example.giltrace"
    path.write_bytes(example_bytes())
    capture = read(path)
    assert capture.session.argv == ["app.py"]
    assert capture.loss.bytes_skipped == 0
    assert capture.events[0].thread.tolist() == [0, 0, 1]
    (code,) = capture.codes
    assert position(code.linetable, code.firstlineno, 2) == Position(8, 8, 4, 13)


@pytest.mark.parametrize("count", [1, 50, 1001])
@pytest.mark.parametrize("runs", [1, 2])
def test_a_reader_made_from_the_page_agrees(count: int, runs: int) -> None:
    """Codec 2 as the page describes it gives the events back, wherever they start."""
    file = io.BytesIO()
    events = b"".join(pack_event(i * 999, Kind.ACQUIRE, i) for i in range(count * runs))
    CaptureWriter(file, SessionInfo("1.0", [], 0, 0)).events(
        4, [(thread, count) for thread in range(runs)], events
    )
    (_, session), (kind, payload) = simple_reader(file.getvalue())
    assert json.loads(session)["giltrace"] == "1.0"
    assert (kind, payload[-len(events) :]) == (7, events)


def test_the_page_names_everything() -> None:
    """Every frame type, event kind and JSON field has its line."""
    page = PAGE.read_text("utf-8")
    for frame_type in FrameType:
        assert f"| {frame_type.value} | {frame_type.name} |" in page
    for kind in Kind:
        assert f"| {kind.value} | {kind.name} |" in page
    for record in RECORD_TYPES.values():
        for field in fields(record):
            assert f"`{field.name}`" in page, (record, field.name)
