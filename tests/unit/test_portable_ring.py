"""The ring of the portable back end: written, read while it is written, damaged."""

from __future__ import annotations

import ast
import io
import struct
from pathlib import Path

import pytest

from giltrace.capture import CaptureWriter
from giltrace.capture.reader import Capture
from giltrace.capture.records import SessionInfo
from giltrace.record.portable import PortableDrain, streams
from giltrace.record.sources import Sources
from giltrace.runtime import info
from giltrace.runtime import portable_ring as ring
from giltrace.runtime.portable_log import Log

SIZE = 1 << 12


class Pair:
    """Both ends of a ring; this process is the target."""

    def __init__(self, folder: Path) -> None:
        self.ring = ring.Ring(
            str(folder / "1.5.portable"), info.encode(ring.INFO_BYTES, ("a note",)), 5, SIZE
        )
        self.log = Log(self.ring)
        (self.path,) = streams(folder)
        self.out = io.BytesIO()
        self.drain = PortableDrain(
            self.path, 0, CaptureWriter(self.out, SessionInfo("0", [], 0, 0)), Sources()
        )

    def capture(self, folder: Path) -> Capture:
        """What the drain has written."""
        from giltrace.capture import read

        path = folder / "out.giltrace"
        path.write_bytes(self.out.getvalue())
        return read(path)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A ring of 4 KiB."""
    return Pair(tmp_path)


def hand_over(log: Log, times: int) -> None:
    """So many hand-offs between threads 0 and 1."""
    for i in range(times):
        log.hand_over(i % 2, [], i, 1 - i % 2, i)


def test_from_end_to_end(pair: Pair, tmp_path: Path) -> None:
    """Many times around the ring: all that was written arrives, in its order."""
    pair.log.thread(0, 10, 0, "one")
    pair.log.thread(1, 11, 0, "two")
    pair.log.begin(0, 0)
    for _ in range(100):
        hand_over(pair.log, 30)
        pair.drain.poll()
        pair.drain.poll()  # what was there at the visit before
    pair.log.thread(1, 11, 7, "three")
    pair.log.note("it went well")
    pair.log.end(0, 9_000)
    pair.drain.finish("ended")
    capture = pair.capture(tmp_path)
    assert capture.processes[0].backend == "portable"
    assert capture.processes[0].notes[1:] == ["a note"]
    assert [(t.thread, t.tid, t.name) for t in capture.threads] == [(0, 10, "one"), (1, 11, "two")]
    assert [(n.thread, n.ts_ns, n.name) for n in capture.thread_names] == [(1, 7, "three")]
    (end,) = capture.process_ends
    assert (end.ts_ns, end.lost_events, end.notes) == (9_000, 0, ["it went well"])
    data = capture.events[0].data
    tenures = sorted((data[data & 15 == 1] >> 16).tolist())
    assert tenures == list(range(1, 3_002))
    assert not pair.path.exists()


def test_no_room(pair: Pair, tmp_path: Path) -> None:
    """What finds no room is counted, in all and where it is missing."""
    pair.log.thread(0, 10, 0, "one")
    pair.log.thread(1, 11, 0, "two")
    hand_over(pair.log, 1_000)
    pair.drain.poll()
    pair.drain.poll()
    hand_over(pair.log, 10)
    pair.drain.finish("ended")
    capture = pair.capture(tmp_path)
    (end,) = capture.process_ends
    data = capture.events[0].data
    assert end.lost_events == int((data[data & 15 == 6] >> 16).sum()) > 1_000
    assert int((data & 15 == 1).sum()) * 2 + end.lost_events == 2_020


@pytest.mark.parametrize(
    "damage",
    [
        (ring.WRITTEN_AT, struct.pack("<Q", 1 << 40)),
        (ring.HEADER_BYTES, struct.pack("<II", ring.SWITCH, 0)),
        (ring.HEADER_BYTES, struct.pack("<II", ring.SWITCH, 1 << 20)),
        (ring.HEADER_BYTES, struct.pack("<II", ring.SWITCH, 20)),
        (ring.HEADER_BYTES, struct.pack("<II", ring.CODE, 12)),
        (ring.HEADER_BYTES, struct.pack("<IIII", ring.EVENTS, 32, 77, 0)),
    ],
)
def test_damage(pair: Pair, tmp_path: Path, damage: tuple[int, bytes]) -> None:
    """Whatever a target does to its memory is an error of that process, and no other."""
    pair.log.thread(0, 10, 0, "one")
    hand_over(pair.log, 3)
    at, raw = damage
    pair.ring._memory[at : at + len(raw)] = raw
    with pytest.raises(ValueError):  # noqa: PT011, PT012 - at the second visit at the latest
        for _ in range(2):
            pair.drain.poll()
    pair.drain.finish("ended")
    assert "damaged" in pair.capture(tmp_path).process_ends[0].notes[0]


@pytest.mark.parametrize("content", [b"", b"x" * 5000, ring.MAGIC + bytes(5000)])
def test_not_a_ring(tmp_path: Path, content: bytes) -> None:
    """A file that is no ring is refused, and does not turn up again."""
    (tmp_path / "1.5.portable").write_bytes(content)
    writer = CaptureWriter(io.BytesIO(), SessionInfo("0", [], 0, 0))
    with pytest.raises(ValueError):  # noqa: PT011
        PortableDrain(streams(tmp_path)[0], 0, writer, Sources())
    assert streams(tmp_path) == []


def test_syntax() -> None:
    """What runs inside older interpreters is written for them."""
    package = Path(ring.__file__).parent.parent
    modules = [
        *(package / name for name in ("__init__.py", "_version.py", "runtime/__init__.py")),
        *(package / "runtime" / f"{name}.py" for name in ("callables", "info", "options")),
        *(package / "runtime").glob("portable*.py"),
        package / "runtime" / "boot" / "sitecustomize.py",
    ]
    for module in modules:
        ast.parse(module.read_text(), str(module), feature_version=(3, 9))
