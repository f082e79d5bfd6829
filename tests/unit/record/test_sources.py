"""Which source lines get into a capture, from real files and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest

from giltrace.capture.records import CodeInfo, ProcessInfo, SourceText
from giltrace.record.sources import Sources

Start = Callable[[], ProcessInfo]

PROGRAM = """\
import os


def outer(a):
    # A comment.
    x = read(
        a,
        1)

    def inner():
        y = 1
        z = 2
        u = 3
        v = 4
        w = 5
        return y

    with x:
        return 3


def other():
    return [
        1]
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process in the test's folder; what was written before is older than it."""
    running = []

    def start() -> ProcessInfo:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            cwd=tmp_path,
        )
        running.append(child)
        return info(child.pid, len(running) - 1)

    yield start
    for child in running:
        child.communicate()


def info(pid: int, process: int = 0, **facts: str | int | list[str]) -> ProcessInfo:
    """A process, recorded from now on."""
    values = {"ppid": os.getpid(), "start_ns": time.monotonic_ns(), "python": "3", **facts}
    return ProcessInfo(process=process, pid=pid, **values)  # type: ignore[arg-type]


def codes(text: str, filename: str | Path, *names: str, process: int = 0) -> list[CodeInfo]:
    """Code records of some functions in a program; ``""`` is the module."""
    found: list[CodeType] = [compile(text, str(filename), "exec", dont_inherit=True)]
    for code in found:
        found += [const for const in code.co_consts if isinstance(const, CodeType)]
    return [
        CodeInfo(process, at, c.co_firstlineno, c.co_filename, c.co_qualname, c.co_linetable)
        for at, c in enumerate(found, 1)
        if c.co_name in (names or ("<module>",))
    ]


def collect(processes: list[ProcessInfo], *records: CodeInfo) -> list[SourceText]:
    """What is written at the end of a recording of these."""
    sources = Sources()
    for process in processes:
        sources.meet(process)
    for record in records:
        sources.add(record)
    return list(sources.records())


def test_the_lines_of_a_function(tmp_path: Path, start: Start) -> None:
    """All it covers, and of a function inside that is not on record only the head."""
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    lines = PROGRAM.split("\n")
    assert collect([start()], *codes(PROGRAM, path, "outer")) == [
        SourceText(str(path), 4, "\n".join(lines[3:10])),
        SourceText(str(path), 18, "\n".join(lines[17:19])),
    ]


def test_functions_that_lie_close_are_one_record(tmp_path: Path, start: Start) -> None:
    """The blank lines between them come along."""
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    found = collect([start()], *codes(PROGRAM, path, "other", "outer", "inner"))
    assert [SourceText(str(path), 4, "\n".join(PROGRAM.split("\n")[3:24]))] == found


def test_relative_names(tmp_path: Path, start: Start) -> None:
    """They count from where the process was when it was met, and are written as they are."""
    (tmp_path / "app.py").write_text("f()")
    assert [SourceText("app.py", 1, "f()")] == collect([start()], *codes("f()", "app.py"))


def test_a_name_that_means_two_files(tmp_path: Path, start: Start) -> None:
    """If processes mean different files by one name, neither is taken."""
    (tmp_path / "app.py").write_text("f()")
    records = [*codes("f()", "app.py"), *codes("f()", "app.py", process=1)]
    assert [SourceText("app.py", 1, "f()")] == collect([start(), start()], *records)
    elsewhere = info(os.getpid(), 1)
    assert [] == collect([start(), elsewhere], *records)


def test_a_file_that_is_newer_than_the_process(tmp_path: Path, start: Start) -> None:
    """What was written after the start may not be what ran, whatever its time stamp says."""
    path = tmp_path / "app.py"
    path.write_text("f()")
    os.utime(path, (1, 1))
    old, young = info(os.getpid()), start()
    assert [] == collect([old], *codes("f()", path))
    assert [] != collect([young], *codes("f()", path))
    both = [*codes("f()", path), *codes("f()", path, process=1)]
    assert [] == collect([old, info(young.pid, 1)], *both)


def test_a_fork_runs_what_its_parent_has_read(tmp_path: Path, start: Start) -> None:
    """A file that changed between the start of the parent and the fork is not taken."""
    path = tmp_path / "app.py"
    path.write_text("f()")
    argv = ["server.py"]
    parent, child = info(os.getpid(), argv=argv), start().pid
    fork = info(child, 1, ppid=os.getpid(), argv=argv)
    program = info(child, 1, ppid=os.getpid(), argv=["other.py"])
    records = codes("f()", path, process=1)
    assert [] == collect([parent, fork], *records)
    assert [SourceText(str(path), 1, "f()")] == collect([parent, program], *records)


def test_a_process_that_has_ended() -> None:
    """Its recording began at a known time, so files can still be taken; its folder is unknown."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        path = Path(name) / "app.py"
        path.write_text("f()")
        gone = info(1 << 22)
        assert [SourceText(str(path), 1, "f()")] == collect([gone], *codes("f()", path))
        assert [] == collect([gone], *codes("f()", "app.py"))
        assert [] == collect([gone], *codes("f()", path, process=3))


@pytest.mark.parametrize("name", ["", "<string>", "<frozen os>", "\0", "\ud800", "x" * 5000, "."])
def test_names_of_no_file(name: str, start: Start) -> None:
    """What is no file has no source."""
    records = [CodeInfo(0, 1, 1, name, "f", codes("f()", "x")[0].linetable)]
    assert [] == collect([start()], *records)


def test_what_is_no_regular_file(tmp_path: Path, start: Start) -> None:
    """Pipes and devices are not even opened, folders and empty files have no lines."""
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "empty.py").touch()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to("nothing")
    (tmp_path / "device.py").symlink_to("/dev/zero")
    records = [record for path in tmp_path.iterdir() for record in codes("f()", path)]
    records += codes("f()", "/proc/self/status") + codes("f()", "/proc/kmsg")
    assert [] == collect([start()], *records)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbff('\xc3\xa9')", "f('é')"),
        (b"# coding: latin-1\nf('\xe9')", "# coding: latin-1\nf('é')"),
        (b"f()\r\ng()\rh()", "f()\ng()\nh()"),
        (b"f('\x0c\x1c\xe2\x80\xa8')\ng()", "f('\x0c\x1c\u2028')\ng()"),
        (b"f('\xe9')", None),
        (b"# coding: nonsense\nf()", None),
        (b"# coding: zlib\nf()", None),
        (b"# coding: punycode\nf()", None),
        (b"\xff\xfe\x00", None),
    ],
)
def test_encodings(data: bytes, text: str | None, tmp_path: Path, start: Start) -> None:
    """Text as Python reads it, lines as Python counts them; what is no text is left out."""
    path = tmp_path / "app.py"
    path.write_bytes(data)
    records = codes("f()\ng()\nh()", path)
    assert ([] if text is None else [SourceText(str(path), 1, text)]) == collect(
        [start()], *records
    )


def test_long_lines(tmp_path: Path, start: Start) -> None:
    """A line is cut at 500 characters, and one can see that it was."""
    path = tmp_path / "app.py"
    path.write_text("f()\n" + "g()" * 1000)
    [record] = collect([start()], *codes("f()\ng()", path))
    assert "f()\n" + ("g()" * 1000)[:499] + "…" == record.text


def test_large_functions_and_files(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 lines of one function, 2,000 of one file, about a megabyte in all."""
    monkeypatch.setattr("giltrace.record.sources._PATIENCE_S", 60.0)  # however slow this machine
    body = "".join(f"    f({'x' * 100})\n" for _ in range(800))
    text = "".join(f"def g{n}():\n{body}" for n in range(6))
    paths = [tmp_path / f"app{n}.py" for n in range(9)]
    for path in paths:
        path.write_text(text)
    process = start()
    one = collect([process], *codes(text, paths[0], "g0"))
    assert [500] == [record.text.count("\n") + 1 for record in one]
    names = [f"g{n}" for n in range(6)]
    file = collect([process], *codes(text, paths[0], *names))
    assert 2000 == sum(record.text.count("\n") + 1 for record in file)
    every = [record for path in paths for record in codes(text, path, *names)]
    total = sum(len(record.text) for record in collect([process], *every))
    assert 900_000 < total <= 1 << 20


def test_damaged_line_tables(tmp_path: Path, start: Start) -> None:
    """Lines that a file does not have are no lines."""
    path = tmp_path / "app.py"
    path.write_text("f()\ng()")
    process = start()
    for line, table in ((0, b""), (2**32 - 1, b"\xf8"), (5, b"\xf0\x7f"), (7, os.urandom(999))):
        record = CodeInfo(0, 1, line, str(path), "f", table)
        assert all(text.line in (1, 2) for text in collect([process], record))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start what belongs to someone else")
def test_a_process_of_another_user() -> None:
    """Of what such a process names, only what everyone can read is taken."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        records = []
        for path, mode in ((folder / "app.py", 0o644), (folder / "secret.py", 0o600)):
            path.write_text("f()")
            path.chmod(mode)
            records += codes("f()", path)
        expected = [SourceText(str(folder / "app.py"), 1, "f()")]
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, user=65534) as child:
            assert expected == collect([info(child.pid)], *records)
            folder.chmod(0o700)
            assert [] == collect([info(child.pid)], *records)
