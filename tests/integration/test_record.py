"""``giltrace record`` with real targets."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from giltrace.capture import CaptureError, read
from tests.support.python import environment
from tests.support.recorder import acquires, command, record, recording, script

CYCLES = """
import ctypes
cycle = ctypes.CDLL(None).getppid
def cycles(n):
    for _ in range(n):
        cycle()
"""

# Makes a terminal the controlling one of a new session, then becomes the command.
LOGIN = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


def words(process: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said on stderr, line by line."""
    return process.stderr.splitlines()


def test_a_script_runs_as_without_us(tmp_path: Path) -> None:
    """Arguments, output, exit code and sys.path are what they would be; the capture is whole."""
    code = """
    import sys
    print(sys.argv[1:], __name__, __file__ == sys.argv[0], sys.path[0])
    print([entry for entry in sys.path if entry.endswith("boot")])
    sys.exit(3)
    """
    program = script(tmp_path, code)
    plain = subprocess.run(
        [sys.executable, program, "a", "-o", "b"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    done = record(tmp_path / "out.giltrace", program, "a", "-o", "b")
    assert (done.returncode, done.stderr) == (3, "")
    # Our sitecustomize stands in only where the environment has none of its own.
    assert done.stdout.splitlines()[0] == plain.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1] == "[]"
    capture = read(tmp_path / "out.giltrace")
    assert capture.end is not None
    assert (capture.end.exit_code, capture.end.signal) == (3, None)
    assert (capture.loss.truncated, capture.loss.bytes_skipped) == (False, 0)
    assert capture.processes[0].argv[1:] == [program, "a", "-o", "b"]
    assert acquires(capture) > 0


@pytest.mark.parametrize("calls", ["off", "io", "all"])
def test_nothing_of_ours_warns_in_the_target(calls: str, tmp_path: Path) -> None:
    """In development mode, and where each warning is an error: threads, children and policies."""
    code = """
    import multiprocessing, threading
    if __name__ == "__main__":
        for context in map(multiprocessing.get_context, ("spawn", "forkserver")):
            process = context.Process(target=print, args=("child",))
            process.start()
            process.join()
        threading.Thread(target=print, args=("thread",)).start()
    """
    strict = ("-X", "dev", "-X", "warn_default_encoding", "-W", "error")
    target = ("python", *strict, script(tmp_path, code))
    done = record(
        tmp_path / "out.giltrace",
        *target,
        options=("-q", "--calls", calls, "--policy", "auto"),
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["child", "child", "thread"]


def test_the_end_is_in_words_that_fit_a_screen(tmp_path: Path) -> None:
    """What was found, and which commands tell more of it; the tables are for these."""
    output = tmp_path / "out.giltrace"
    done = record(output, "-c", "print('theirs')", options=())
    assert (done.returncode, done.stdout) == (0, "theirs\n")
    assert "was recorded for" in done.stderr and "Threads" not in done.stderr
    assert words(done)[-2:] == [
        f"With numbers and lines: giltrace report {output}",
        f"As a timeline: giltrace tui {output}",
    ]
    assert re.fullmatch(rf"[\d,]+ events, \d+ kB: {re.escape(str(output))}", words(done)[-3])


def test_an_own_sitecustomize_still_runs(tmp_path: Path) -> None:
    """A sitecustomize of the environment is run, and is the one in sys.modules."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("MARK = 'theirs'\n")
    done = record(
        tmp_path / "out.giltrace",
        "-c",
        "import sitecustomize; print(sitecustomize.MARK)",
        env={"PYTHONPATH": f"{tmp_path / 'site'}:{environment()['PYTHONPATH']}"},
    )
    assert (done.returncode, done.stdout) == (0, "theirs\n")


@pytest.mark.parametrize(
    "target",
    [
        ("-c", "print(6 * 7)"),
        ("-m", "calendar", "2026", "11"),
        ("python", "-c", "print(1)"),
        ("sh", "-c", "python -c 'print(2)' && python -c 'print(3)'"),
    ],
)
def test_every_kind_of_target(tmp_path: Path, target: tuple[str, ...]) -> None:
    """Code, modules, commands on PATH, and commands that end up in Python are recorded."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = record(tmp_path / "out.giltrace", *target, env={"PATH": path})
    assert done.returncode == 0, done.stderr
    capture = read(tmp_path / "out.giltrace")
    assert len(capture.processes) == (2 if target[0] == "sh" else 1)
    assert all(acquires(capture, process.process) > 0 for process in capture.processes)


def test_a_known_number_of_cycles(tmp_path: Path) -> None:
    """Through recorder and file, too: a function that lets go N times has N releases."""
    program = script(tmp_path, CYCLES + "cycles(5000)\n")
    done = record(tmp_path / "out.giltrace", program)
    assert done.returncode == 0, done.stderr
    capture = read(tmp_path / "out.giltrace")
    (code,) = [c.code for c in capture.codes if c.qualname == "cycles"]
    data = capture.events[0].data
    assert int(((data & 15 == 2) & (data >> 16 & 0xFFFF == code)).sum()) == 5000
    assert capture.process_ends[0].lost_events == 0


def test_children_are_recorded_too(tmp_path: Path) -> None:
    """Forked, spawned and pooled Pythons land in the same capture, each with its own events."""
    program = script(
        tmp_path,
        CYCLES
        + """
import multiprocessing, os, subprocess, sys
def work(n):
    cycles(n)
    return n
if __name__ == "__main__":
    if os.fork() == 0:
        cycles(50)
        os._exit(0)
    os.wait()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(work, [10]) == [10]
        pool.close()
        pool.join()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    subprocess.run(["true"], check=True)
""",
    )
    done = record(tmp_path / "out.giltrace", program)
    assert done.returncode == 0, done.stderr
    capture = read(tmp_path / "out.giltrace")
    assert len({process.pid for process in capture.processes}) == len(capture.processes)
    # the program, its fork, the pool's worker and resource tracker, the last subprocess
    assert len(capture.processes) == 5
    fork = next(p for p in capture.processes[1:] if p.argv == capture.processes[0].argv)
    assert fork.ppid == capture.processes[0].pid
    assert acquires(capture, fork.process) >= 50


def test_a_program_that_becomes_another_is_recorded_on(tmp_path: Path) -> None:
    """After exec the process has the same id: each program is recorded as one of its own."""
    code = """
import os, sys
n = int(sys.argv[1])
if n:
    os.execv(sys.executable, [sys.executable, __file__, str(n - 1)])
"""
    done = record(tmp_path / "out.giltrace", script(tmp_path, code), "5")
    assert (done.returncode, done.stderr) == (0, "")
    capture = read(tmp_path / "out.giltrace")
    assert [process.argv[-1] for process in capture.processes] == ["5", "4", "3", "2", "1", "0"]
    assert len({process.pid for process in capture.processes}) == 1


def test_many_short_children_take_little_memory(tmp_path: Path) -> None:
    """The memory of processes that have ended is given back while the recording goes on."""
    code = """
import os, time
def used():
    files = os.statvfs("/dev/shm")
    return (files.f_blocks - files.f_bfree) * files.f_frsize
before = used()
for _ in range(100):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
# Each takes 2 MB. The recorder comes round to them while this program still runs.
while used() - before > 20 << 20:
    time.sleep(0.01)
"""
    done = record(tmp_path / "out.giltrace", script(tmp_path, code))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read(tmp_path / "out.giltrace").processes) == 101


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    """Ctrl-C reaches the target once, as without us, and the capture is whole."""
    program = script(
        tmp_path,
        """
        import time
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("tidying up", flush=True)
            try:
                time.sleep(0.3)  # a second interrupt would end this
                print("tidy", flush=True)
            finally:
                raise SystemExit(5)
        """,
    )
    output = tmp_path / "out.giltrace"
    terminal, other_side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LOGIN, str(other_side), *command(output, program)],
        pass_fds=[other_side],
        env=environment(),
    )
    os.close(other_side)
    text = b""
    while b"ready" not in text:
        text += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    try:
        while True:
            text += os.read(terminal, 1024)
    except OSError:
        pass  # the terminal's other side has ended
    os.close(terminal)
    assert process.wait(30) == 5, text
    assert b"tidying up" in text and b"tidy\r\n" in text
    assert b"Traceback" not in text
    capture = read(output)
    assert capture.end is not None and capture.end.exit_code == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_to_the_recorder_are_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    """A signal sent to the recorder alone reaches the target, which decides what it means."""
    code = f"""
    import signal, sys
    signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])
    print("ready", flush=True)
    sys.exit(40 + signal.sigwait([{int(number)}]))
    """
    with recording(tmp_path / "out.giltrace", script(tmp_path, code)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(30) == 40 + number
    assert read(tmp_path / "out.giltrace").end is not None


def test_a_target_killed_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 of the target everything it had done is in the capture."""
    code = (
        CYCLES
        + """
import os, signal, threading
cycles(3000)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    done = record(tmp_path / "out.giltrace", script(tmp_path, code))
    assert done.returncode == 128 + 9
    capture = read(tmp_path / "out.giltrace")
    assert capture.end is not None and capture.end.signal == 9
    (number,) = [c.code for c in capture.codes if c.qualname == "cycles"]
    data = capture.events[0].data
    assert int(((data & 15 == 2) & (data >> 16 & 0xFFFF == number)).sum()) == 3000


def test_a_recorder_killed_leaves_the_target_alone(tmp_path: Path) -> None:
    """After kill -9 of the recorder the target runs to its end, and the capture can be read."""
    code = (
        CYCLES
        + """
import os, sys
cycles(2000)
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
cycles(200_000)  # more than the memory for events holds
open(sys.argv[1], "w").write("finished")
"""
    )
    witness = tmp_path / "witness"
    with recording(tmp_path / "out.giltrace", script(tmp_path, code), str(witness)) as process:
        assert process.stdin is not None and process.stdout is not None
        pid = int(process.stdout.readline().split()[1])
        target = os.pidfd_open(pid)
        # A second's worth of flushes at most; what is written by then must be readable.
        while not _readable(tmp_path / "out.giltrace"):
            assert process.poll() is None
        process.kill()
        process.wait(30)
        process.stdin.write("\n")
        process.stdin.flush()
        assert select.select([target], [], [], 30)[0], "the target hangs"
    assert witness.read_text() == "finished"
    capture = read(tmp_path / "out.giltrace")
    assert capture.end is None and not capture.loss.ended
    assert acquires(capture) > 0


def _readable(path: Path) -> bool:
    try:
        return bool(read(path).events)
    except (CaptureError, FileNotFoundError):
        return False


def test_duration_ends_the_recording_not_the_target(tmp_path: Path) -> None:
    """After --duration the capture is complete while the target goes on to its own end."""
    code = (
        CYCLES
        + """
import sys
cycles(100)
print("ready", flush=True)
print(sys.stdin.readline().strip())
sys.exit(9)
"""
    )
    output = tmp_path / "out.giltrace"
    with subprocess.Popen(
        command(output, script(tmp_path, code), options=("-q", "--duration", "0.4")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while not _ended(output):
            assert process.poll() is None
        process.stdin.write("still here\n")
        process.stdin.close()
        assert process.stdout.read() == "still here\n"
        assert process.wait(30) == 9
    capture = read(output)
    assert capture.end is not None and capture.end.reason == "the duration was over"
    assert capture.process_ends[0].status == "left running"


def _ended(path: Path) -> bool:
    return _readable(path) and read(path).end is not None


def test_a_disk_that_fills_up_ends_only_the_recording(tmp_path: Path) -> None:
    """The target runs on and succeeds; one line says what happened; the rest can be read."""
    code = CYCLES + "cycles(800_000)\nprint('done')\n"
    program = script(tmp_path, code)
    output = tmp_path / "out.giltrace"
    # The limit counts for files of the recorder alone: the arena is made by the target, which
    # lifts it for itself.
    limited = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
os.execv(sys.executable, sys.argv[1:])
"""
    wrapper = script(
        tmp_path,
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n",
        "unlimited.py",
    )
    inner = command(output, "-S", options=("-q",))
    inner[-1:] = [sys.executable, "-S", wrapper, program]
    done = subprocess.run(
        [sys.executable, "-c", limited, *inner],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n"
    assert done.returncode == 1
    (line, hint) = words(done)
    assert "cannot write" in line and "File too large" in line
    assert "left to run" in hint
    assert output.stat().st_size <= 500_000
    assert acquires(read(output)) > 0


def test_no_trace_is_left_behind(tmp_path: Path) -> None:
    """The session's folder is gone afterwards."""
    base = Path("/dev/shm") / f"giltrace-{os.getuid()}"
    code = "import os; print(os.environ['GILTRACE_SESSION'])"
    done = record(tmp_path / "out.giltrace", "-c", code)
    session = Path(done.stdout.strip())
    assert session.parent == base and not session.exists()
    assert base.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("target", "options", "code", "said"),
    [
        ((), (), 2, "there is nothing to start"),
        (("-m",), (), 2, "-m needs a module"),
        (("--frobnicate",), (), 2, "No such option"),
        (("missing.py",), (), 1, "there is no script missing.py"),
        (("no-such-command",), (), 1, "there is no command no-such-command"),
        (("true",), (), 1, "nothing was recorded: true ran, but no Python started"),
        (("sh", "-c", "exit 6"), (), 6, "nothing was recorded"),
        (("sh", "-c", "kill -INT $$"), (), 130, "nothing was recorded: sh was stopped before"),
        (("-c", "pass"), ("--duration", "0"), 2, "Invalid value for '--duration'"),
    ],
)
def test_bad_targets(
    tmp_path: Path, target: tuple[str, ...], options: tuple[str, ...], code: int, said: str
) -> None:
    """One clear line, a non-zero code, and no file left."""
    done = record(tmp_path / "out.giltrace", *target, options=("-q", *options))
    assert done.returncode == code
    assert said.lower() in words(done)[0].lower(), done.stderr
    assert len([line for line in words(done) if not line.startswith(("hint:", "See"))]) <= 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_python_without_giltrace(tmp_path: Path) -> None:
    """It runs as usual; the one line names that Python and how to install giltrace there."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / "bin" / "python"
    # Our own environment points at the source tree; the bare Python must not see that.
    wrapper = script(
        tmp_path,
        "import os, sys\n"
        "first = os.environ['PYTHONPATH'].split(':')[0]\n"
        "os.execve(sys.argv[1], sys.argv[1:], {**os.environ, 'PYTHONPATH': first})\n",
    )
    done = record(
        tmp_path / "out.giltrace", sys.executable, "-S", wrapper, str(bare), "-c", "print('ran')"
    )
    assert (done.returncode, done.stdout) == (1, "ran\n")
    assert f"giltrace is not installed in {bare}" in words(done)[0]
    assert "-m pip install giltrace" in words(done)[1]


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    """An existing file is kept, an unwritable place or a device refused, before anything runs."""
    existing = tmp_path / "out.giltrace"
    existing.write_text("precious")
    done = record(existing, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "exists" in words(done)[0] and "--force" in words(done)[1]
    assert existing.read_text() == "precious"
    for path, said in (
        (tmp_path / "no" / "such" / "folder.giltrace", "No such file or directory"),
        (Path("/dev/full"), "not a regular file"),
    ):
        done = subprocess.run(
            command(path, "-c", "print('ran')", options=("-q", "--force")),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert said in words(done)[0]
    assert record(existing, "-c", "pass", options=("-q", "--force")).returncode == 0
    assert acquires(read(existing)) > 0
