"""Following a capture while it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from giltrace.capture import CaptureError, CaptureWriter
from giltrace.capture.events import Kind, pack_event
from giltrace.capture.follow import Follower
from giltrace.capture.records import End, ProcessInfo, SessionInfo, ThreadInfo

SESSION = SessionInfo("0.1.0", ["app.py"], 100, 1_000)


def write(writer: CaptureWriter, first: int, count: int, *, lost: int = 0) -> None:
    """Some holds of one thread, each a microsecond."""
    events = b""
    for i in range(first, first + count):
        events += pack_event(1000 * i, Kind.ACQUIRE, i) + pack_event(
            1000 * i + 500, Kind.RELEASE, 0
        )
    if lost:
        events += pack_event(1000 * (first + count), Kind.LOST, lost)
    writer.events(0, [(0, 2 * count + bool(lost))], events)
    writer.flush()


def test_what_is_new_comes_and_nothing_comes_twice(tmp_path: Path) -> None:
    """Record by record, frame by frame, as the recorder hands them over."""
    path = tmp_path / "out.giltrace"
    path.touch()
    with Follower(path, seconds=1) as follower, path.open("wb") as file:
        assert not follower.read()
        writer = CaptureWriter(file, SESSION)
        writer.write(ProcessInfo(0, 7, 1, 100, "3.11.7"))
        writer.write(ThreadInfo(0, 0, 7, 100, "main"))
        writer.flush()
        assert follower.read() and follower.window is not None
        assert [info.pid for info in follower.window.processes] == [7]
        for first in (1, 11, 21):
            write(writer, first, 10, lost=3)
            assert follower.read() and not follower.read()
        assert follower.window.events_taken == 63
        assert follower.lost_events == 9
        assert follower.window.end is None
        writer.write(End(40_000, 0, None))
        writer.flush()
        follower.read()
        assert follower.window.end is not None


def test_a_frame_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    """Wherever the recorder is interrupted, the rest is taken when it is there."""
    path, whole = tmp_path / "out.giltrace", tmp_path / "whole"
    with whole.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        writer.write(ProcessInfo(0, 7, 1, 100, "3.11.7"))
        write(writer, 1, 200)
    data = whole.read_bytes()
    path.touch()
    with Follower(path, seconds=1) as follower, path.open("ab") as file:
        for at in range(0, len(data), 13):
            file.write(data[at : at + 13])
            file.flush()
            follower.read()
        assert follower.window is not None and follower.window.events_taken == 400


def test_disk_space_is_given_back(tmp_path: Path) -> None:
    """What nobody will read again leaves a hole; what comes later is found."""
    path = tmp_path / "out.giltrace"
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION, compress=False)
        writer.write(ProcessInfo(0, 7, 1, 100, "3.11.7"))
        with Follower(path, seconds=0.001, consume=True) as follower:
            most = taken = 0
            block = b"".join(pack_event(1, Kind.CPU, 1) for _ in range(65_536))
            for _ in range(40):
                writer.events(0, [(0, 65_536)], block)
                writer.flush()
                follower.read()
                most = max(most, path.stat().st_blocks * 512)
                taken += 65_536
            assert follower.window is not None and follower.window.events_taken == taken
    assert path.stat().st_size > 40 << 20
    assert most < 20 << 20


def test_something_else(tmp_path: Path) -> None:
    """What is no capture is said to be none."""
    path = tmp_path / "out.giltrace"
    path.write_bytes(b"x" * 100)
    with Follower(path, seconds=1) as follower, pytest.raises(CaptureError):
        follower.read()
