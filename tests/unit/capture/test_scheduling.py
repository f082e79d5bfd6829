"""Rows of scheduling in a capture."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from giltrace.capture import CaptureWriter, read
from giltrace.capture.follow import Follower
from giltrace.capture.format import Codec, FrameType, pack_frame
from giltrace.capture.records import SessionInfo
from giltrace.capture.scheduling import MOST_LOST, What, pack_row

SESSION = SessionInfo("1.0", [], 0, 0)
ROWS = b"".join(pack_row(ts, What.RUNS, 7, cpu=3) for ts in range(1000))


def written(tmp_path: Path, *payloads: bytes, whole: bool = True) -> Path:
    """A capture with these rows, or with frames of these bytes."""
    path = tmp_path / "x.giltrace"
    with path.open("wb") as file:
        writer = CaptureWriter(file, SESSION)
        for payload in payloads:
            if whole:
                writer.scheduling(payload)
            else:
                file.write(pack_frame(FrameType.SCHEDULING, Codec.RAW, payload, len(payload)))
    return path


@pytest.mark.repo
def test_the_page_names_what_rows_say() -> None:
    """Everything that a row can say has its line in the reference."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "capture-format.md"
    for what in What:
        assert f"| {what.value} | {what.name} |" in page.read_text("utf-8")


def test_rows_come_back(tmp_path: Path) -> None:
    """What is written is read, in its order, compressed or not, in one frame or several."""
    capture = read(written(tmp_path, ROWS, b"", ROWS[:32]))
    assert capture.scheduling.tobytes() == ROWS + ROWS[:32]
    assert capture.loss.damaged_frames == 0
    assert len(capture.scheduling[0:1].tobytes()) == 16


def test_a_row_is_what_the_page_says() -> None:
    """The bits of a row, also of values that do not fit."""
    row = pack_row(5, What.LOST, MOST_LOST + 7, cpu=(1 << 16) + 2)
    assert row == (5).to_bytes(8, "little") + bytes([7, 0, 2, 0, 6, 0, 0, 0])


def test_half_a_row(tmp_path: Path) -> None:
    """It cannot be written; where it stands in a file that frame is damaged, and no other."""
    with pytest.raises(ValueError, match="17 bytes are no whole rows"):
        CaptureWriter(io.BytesIO(), SESSION).scheduling(ROWS[:17])
    capture = read(written(tmp_path, ROWS[:16], ROWS[:17], ROWS[:32], whole=False))
    assert len(capture.scheduling) == 3
    assert capture.loss.damaged_frames == 1


def test_too_many_rows_are_left_out(tmp_path: Path) -> None:
    """Rows count towards the limit of events, and what is beyond it is told."""
    capture = read(written(tmp_path, ROWS), max_events=10)
    assert len(capture.scheduling) == 10
    assert capture.loss.events_unread == 990


def test_a_live_view_passes_over_them(tmp_path: Path) -> None:
    """Who follows a capture for its last seconds reads on behind rows of scheduling."""
    with Follower(written(tmp_path, ROWS), seconds=1) as follower:
        assert follower.read()
        assert follower.window is not None
        assert follower.window.events_taken == 0
