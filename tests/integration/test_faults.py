"""Faults while recording: what was recorded before can be read, and the target never notices."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from giltrace.capture import Capture, CaptureError, read
from giltrace.model import build, check
from tests.support.python import environment
from tests.support.recorder import acquires, command, record, script

# Lets the GIL go a known number of times; the lines on stdin and stdout say when.
CYCLES = """
import ctypes, os, sys
cycle = ctypes.CDLL(None).getppid
def cycles(n):
    for _ in range(n):
        cycle()
def step(word):
    print(word, os.getpid(), flush=True)
    sys.stdin.readline()
"""


def private(*mounts: str) -> tuple[str, ...]:
    """A command in front that gives what follows its own file systems: ``tmpfs`` at these places.

    Each is ``size:path``. Skips the test where that is not allowed.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare")
    front = (unshare, "-m") if os.geteuid() == 0 else (unshare, "-rm")
    if subprocess.run([*front, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    pairs = [mount.split(":", 1) for mount in mounts]
    steps = [f"mount -t tmpfs -o size={size},mode=1777 tmpfs '{path}'" for size, path in pairs]
    return (*front, "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh")


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A recording with pipes on all three; whatever is left of the recorder dies at the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str], word: str) -> int:
    """Wait until the target says a word; returns its process id."""
    assert process.stdout is not None
    first, _, pid = process.stdout.readline().partition(" ")
    assert first == word
    return int(pid)


def go_on(process: subprocess.Popen[str]) -> None:
    """Let the target take its next step."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def read_soon(path: Path, least: int) -> Capture:
    """The capture as soon as it has so many acquires."""
    while True:
        try:
            capture = read(path)
        except (CaptureError, FileNotFoundError):
            continue
        if capture.events and acquires(capture) >= least:
            return capture
        time.sleep(0.01)


def state_of(pid: int) -> str:
    """The letter that the kernel has for the state of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stop(pid: int) -> None:
    """SIGSTOP, until it has taken effect."""
    os.kill(pid, signal.SIGSTOP)
    while state_of(pid) != "T":
        time.sleep(0.001)


def cycles_in(capture: Capture) -> int:
    """How many releases by `cycles` there are."""
    (number,) = [code.code for code in capture.codes if code.qualname == "cycles"]
    data = capture.events[0].data
    return int(((data & 15 == 2) & (data >> 16 & 0xFFFF == number)).sum())


def test_both_killed_at_once(tmp_path: Path) -> None:
    """After kill -9 of target and recorder the capture can be read, and nothing stays in memory."""
    output = tmp_path / "out.giltrace"
    program = script(tmp_path, CYCLES + "cycles(5000)\nstep(os.environ['GILTRACE_SESSION'])\n")
    with started(command(output, program)) as process:
        assert process.stdout is not None
        session, pid = process.stdout.readline().rsplit(" ", 1)
        read_soon(output, 5000)
        process.kill()
        os.kill(int(pid), signal.SIGKILL)
        process.wait()
    capture = read(output)
    assert (capture.end, cycles_in(capture)) == (None, 5000)
    assert check(build(capture)) == []
    assert any("has not finished" in note for note in build(capture).notes)
    # The next recording of anything tidies up after the one that could not.
    while os.path.exists(f"/proc/{int(pid)}"):
        time.sleep(0.01)
    assert record(tmp_path / "next.giltrace", "-c", "pass").returncode == 0
    assert not os.path.exists(session)


def test_a_target_stopped_and_continued(tmp_path: Path) -> None:
    """SIGSTOP and SIGCONT of the target: not an event is missing, and the clock went on."""
    output = tmp_path / "out.giltrace"
    story = "cycles(1000)\nstep('first')\ncycles(1000)\nstep('last')\nsys.exit(7)\n"
    with started(command(output, script(tmp_path, CYCLES + story))) as process:
        pid = said(process, "first")
        stop(pid)
        go_on(process)
        stopped_ns = time.monotonic_ns()
        read_soon(output, 1000)
        os.kill(pid, signal.SIGCONT)
        said(process, "last")
        go_on(process)
        assert process.wait(60) == 7
    capture = read(output)
    trace = build(capture)
    assert (cycles_in(capture), trace.lost_events, check(trace)) == (2000, 0, [])
    assert trace.start_ns < stopped_ns < trace.end_ns


def test_a_recorder_that_cannot_keep_up(tmp_path: Path) -> None:
    """A recorder that is stopped never stops the target; what found no room is counted."""
    output = tmp_path / "out.giltrace"
    # A mebibyte of room: 65,536 events.
    story = "cycles(1000)\nstep('first')\ncycles(200_000)\nstep('last')\nsys.exit(7)\n"
    words = command(output, script(tmp_path, CYCLES + story), options=("--buffer", "1"))
    with started(words) as process:
        said(process, "first")
        read_soon(output, 1000)
        stop(process.pid)
        go_on(process)
        said(process, "last")  # so it has not waited for the recorder
        os.kill(process.pid, signal.SIGCONT)
        go_on(process)
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(60) == 7
    trace = build(read(output))
    assert check(trace) == []
    assert trace.lost_events > 200_000
    assert f"{trace.lost_events:,} events lost" in " ".join(err.split())


def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk without room one line says so, the target runs on, the rest can be read."""
    disk, kept = tmp_path / "disk", tmp_path / "kept.giltrace"
    disk.mkdir()
    program = script(tmp_path, CYCLES + "cycles(400_000)\nprint('done')\nsys.exit(7)\n")
    words = command(disk / "out.giltrace", program)
    # The file system goes when the last process in it does: take the capture out before that.
    line = f'"$@"; code=$?; cp {disk}/out.giltrace {kept}; exit $code'
    front = (*private(f"200k:{disk}"), "sh", "-c", line, "sh")
    done = subprocess.run(
        [*front, *words], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (7, "done\n")
    assert "cannot write" in done.stderr and "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    capture = read(kept)
    assert acquires(capture) > 0
    assert check(build(capture)) == []


def test_no_shared_memory_at_all(tmp_path: Path) -> None:
    """Without room for events the target runs as ever, and one line says why there is nothing."""
    program = script(tmp_path, CYCLES + "cycles(10)\nprint('done')\n")
    words = command(tmp_path / "out.giltrace", program)
    done = subprocess.run(
        [*private("32k:/dev/shm"), *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "done\n")
    assert "no room for events" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.giltrace").exists()


def test_shared_memory_that_runs_out(tmp_path: Path) -> None:
    """Where there is room for some of many processes only, all run, and some are recorded."""
    code = (
        CYCLES
        + """
pids = []
for number in range(12):
    pid = os.fork()
    if pid == 0:
        cycles(10)
        sys.stdin.readline()
        os._exit(number)
    pids.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""
    )
    output = tmp_path / "out.giltrace"
    done = subprocess.run(
        [*private("6m:/dev/shm"), *command(output, script(tmp_path, code))],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{list(range(12))}\n")
    assert "Traceback" not in done.stderr
    assert acquires(read(output)) > 0


def test_words_into_a_pipe_that_is_closed(tmp_path: Path) -> None:
    """Nobody reads what the recorder says: the target's result and the capture are as ever."""
    output = tmp_path / "out.giltrace"
    program = script(tmp_path, CYCLES + "cycles(1000)\nstep('first')\nsys.exit(7)\n")
    with started(command(output, program, options=())) as process:
        said(process, "first")
        assert process.stderr is not None
        process.stderr.close()
        go_on(process)
        assert process.wait(60) == 7
    capture = read(output)
    assert capture.end is not None and capture.end.exit_code == 7
    assert cycles_in(capture) == 1000


def test_a_report_into_a_pipe_that_is_closed(tmp_path: Path) -> None:
    """As other tools do it: no traceback, and an end by SIGPIPE or a code other than 0."""
    output = tmp_path / "out.giltrace"
    record(output, script(tmp_path, CYCLES + "cycles(1000)\n"))
    words = [sys.executable, "-m", "giltrace", "report", "--json", str(output)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        code = process.wait(60)
    assert code != 0
    assert "Traceback" not in err and "Exception ignored" not in err
