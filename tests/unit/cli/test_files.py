"""Output files are whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from giltrace.cli.files import open_output
from giltrace.errors import GiltraceError


def write(path: Path, data: bytes = b"new", *, force: bool = False) -> None:
    """Write ``data`` the way commands do."""
    with open_output(path, force=force) as file:
        file.write(data)


def write_half(path: Path, error: type[BaseException]) -> None:
    """Begin to replace a file, and fail."""
    with open_output(path, force=True) as file:
        file.write(b"half")
        raise error


def test_a_new_file_appears_alone(tmp_path: Path) -> None:
    """The data is there and nothing else is left in the directory."""
    write(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"new"}


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    """The file is as readable as any other new file."""
    mask = os.umask(0o022)
    try:
        write(tmp_path / "out")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o644


def test_existing_file_is_refused(tmp_path: Path) -> None:
    """Nothing is replaced without being told to, and nothing is left behind."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(GiltraceError) as caught:
        write(path)
    assert caught.value.message == f"'{path}' exists already"
    assert caught.value.hint == "Use --force to replace it, or name another output."
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out": b"old"}


def test_force_replaces(tmp_path: Path) -> None:
    """With force the old content goes."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    write(path, force=True)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out": b"new"}


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """A file that someone else makes while we write is not replaced either."""
    path = tmp_path / "out"
    with pytest.raises(GiltraceError, match="exists"), open_output(path, force=False):
        path.write_bytes(b"theirs")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out": b"theirs"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    """An error or Ctrl-C in the middle leaves the old file and no part of the new one."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(error):
        write_half(path, error)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out": b"old"}


def test_symbolic_link_stays(tmp_path: Path) -> None:
    """The file behind a link is replaced, not the link."""
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_full_disk_is_one_sentence() -> None:
    """A device is written directly, and its error is told."""
    with pytest.raises(GiltraceError) as caught:
        write(Path("/dev/full"))
    assert caught.value.message == "cannot write '/dev/full': no space left on device"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that does not exist is not made silently."""
    path = tmp_path / "no" / "out"
    with pytest.raises(GiltraceError) as caught:
        write(path)
    assert caught.value.message == f"cannot write '{path}': no such file or directory"
    assert caught.value.hint == "Make the directory first."


def test_directory_is_no_output(tmp_path: Path) -> None:
    """A directory cannot be written, not even by force."""
    with pytest.raises(GiltraceError) as caught:
        write(tmp_path, force=True)
    assert caught.value.message == f"cannot write '{tmp_path}': is a directory"


def test_file_as_directory(tmp_path: Path) -> None:
    """A path through a file says so."""
    (tmp_path / "file").touch()
    with pytest.raises(GiltraceError, match="not a directory"):
        write(tmp_path / "file" / "out")


def test_read_only_directory() -> None:
    """A directory that may not be written says so; root may write everywhere but in /proc."""
    with pytest.raises(GiltraceError, match="cannot write '/proc/out'"):
        write(Path("/proc/out"))
