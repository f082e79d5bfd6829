"""The compressed file."""

from __future__ import annotations

import io

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket

from giltrace.export.perfetto.stream import PacketStream
from tests.support.perfetto_file import packets


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred packets make several blocks."""
    monkeypatch.setattr("giltrace.export.perfetto.stream._BLOCK_BYTES", 1000)


def some_packets(first: int, count: int) -> bytes:
    """Packets with consecutive timestamps."""
    made = [TracePacket(timestamp=first + i) for i in range(count)]
    return bytes(Trace(packet=made).SerializeToString())


@pytest.mark.parametrize("level", [0, 1, 6])
def test_packets_come_out_in_order(level: int) -> None:
    """Many blocks keep the order of their packets, compressed or not."""
    out = io.BytesIO()
    with PacketStream(out, level=level) as stream:
        for block in range(8):
            stream.write(some_packets(block * 200, 200))
    assert [packet.timestamp for packet in packets(out.getvalue())] == list(range(1600))


def test_compressed_in_several_blocks() -> None:
    """What is written before the end is already in the file when the rest is lost."""
    out = io.BytesIO()
    with PacketStream(out, level=6) as stream:
        for block in range(4):
            stream.write(some_packets(block * 300, 300))
    blocks = Trace.FromString(out.getvalue()).packet
    assert len(blocks) == 4
    assert all(block.HasField("compressed_packets") for block in blocks)


def test_nothing_is_written_for_nothing() -> None:
    """A stream without packets leaves an empty file."""
    out = io.BytesIO()
    with PacketStream(out, level=6):
        pass
    assert out.getvalue() == b""


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, _data: object) -> int:
        """Fail."""
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_reported() -> None:
    """The error of the file comes through, and the thread that compresses ends."""
    with pytest.raises(OSError, match="No space left"), PacketStream(Full(), level=6) as stream:
        stream.write(some_packets(0, 10))
