"""The file: packets, compressed block by block."""

from __future__ import annotations

import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Final, Self

from giltrace.export.perfetto import wire

_BLOCK_BYTES: Final = 1 << 20
_AHEAD: Final = 2
"""Blocks that may wait to be compressed or written."""


class PacketStream:
    """Writes packets as ``compressed_packets``; a context manager, at whose end all is written.

    A file of such blocks that was cut short still opens, which a ``.gz`` does not. A thread
    compresses while the next block is made: zlib works without the GIL.
    """

    def __init__(self, out: BinaryIO, *, level: int) -> None:
        """Write to ``out``; ``level`` is zlib's, 0 for no compression."""
        self._out = out
        self._level = level
        self._pending: list[bytes] = []
        self._size = 0
        self._blocks: deque[Future[bytes]] = deque()
        self._pool = ThreadPoolExecutor(1, "giltrace-zlib")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._pool:
            if error is None:
                self._flush()
                self._write(0)

    def write(self, packets: bytes) -> None:
        """Add whole packets, each with the header of its field in ``Trace``."""
        self._pending.append(packets)
        self._size += len(packets)
        if self._size >= _BLOCK_BYTES:
            self._flush()
            self._write(_AHEAD)

    def _flush(self) -> None:
        packets = b"".join(self._pending)
        self._pending.clear()
        self._size = 0
        if packets:
            self._blocks.append(self._pool.submit(_block, packets, self._level))

    def _write(self, ahead: int) -> None:
        """Write blocks until only ``ahead`` are left."""
        while len(self._blocks) > ahead:
            self._out.write(self._blocks.popleft().result())


def _block(packets: bytes, level: int) -> bytes:
    if not level:
        return packets
    packed = zlib.compress(packets, level)
    return wire.blob(wire.TRACE_PACKET, wire.blob(wire.COMPRESSED_PACKETS, packed))
