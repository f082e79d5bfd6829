"""`giltrace attach` on running programs: what it records, what it leaves, when it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from giltrace.capture import read
from giltrace.model import load
from giltrace.model.invariants import check
from giltrace.record import serve
from giltrace.record.policy import Policy
from giltrace.record.settings import Settings
from tests.support.attached import MAINS, UNTOUCHED, attach, attached, running
from tests.support.busy_server import busy_server
from tests.support.python import environment


@pytest.mark.parametrize("main", MAINS)
def test_wherever_the_main_thread_is(tmp_path: Path, main: str) -> None:
    """Threads of before are recorded by name, and the process is left as it was found."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, MAINS[main]) as target:
        done = attach(target.pid, "-q", "-o", str(output), "--duration", "0.1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert target.end() == UNTOUCHED
    capture = read(output)
    assert capture.end is not None and capture.end.reason == "the duration was over"
    assert [end.status for end in capture.process_ends] == ["left running"]
    trace = load(output)
    threads = {thread.name for thread in trace.threads}
    assert {"MainThread", "worker"} <= threads <= {"MainThread", "worker", "giltrace attach"}
    assert trace.lost_events == 0 and check(trace) == []


def test_a_busy_server_loses_no_request(tmp_path: Path) -> None:
    """Attach and detach again and again: every request is answered, no hook remains."""
    with busy_server() as server:
        for number in range(2):
            output = tmp_path / f"{number}.giltrace"
            done = attach(server.pid, "-q", "-o", str(output), "--duration", "0.05")
            assert (done.returncode, done.stderr) == (0, "")
            assert server.left_alone()
            assert check(load(output)) == []
        assert server.answered() > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_rounds_on_a_busy_server(tmp_path: Path) -> None:
    """The same fifty times."""
    output = tmp_path / "out.giltrace"
    with busy_server() as server:
        for _ in range(50):
            done = attach(server.pid, "-q", "--force", "-o", str(output), "--duration", "0.05")
            assert (done.returncode, done.stderr) == (0, "")
            assert server.left_alone()
        assert server.answered() > 0


def test_ctrl_c_ends_the_recording_and_not_the_program(tmp_path: Path) -> None:
    """The capture is whole and explained, and the exit code is 0."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, MAINS["waits for a lock"]) as target:
        with attached(target.pid, output) as recorder:
            pass
        assert recorder.returncode == 0
        assert target.end() == UNTOUCHED
    capture = read(output)
    assert capture.end is not None and capture.end.reason == "the recorder was stopped"


def test_signals_that_would_end_a_recorder(tmp_path: Path) -> None:
    """It takes none of them for an end that it has not asked for: it leaves first, or goes on."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, MAINS["sleeps"]) as target:
        with attached(target.pid, output) as recorder:
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                recorder.send_signal(number)
                before = _bytes(output)
                while _bytes(output) == before and recorder.poll() is None:
                    pass
            assert recorder.poll() is None
            recorder.send_signal(signal.SIGQUIT)
            assert recorder.wait(60) == 0
        assert target.end() == UNTOUCHED
    capture = read(output)
    assert capture.end is not None and capture.end.reason == "the recorder was stopped"


def test_the_recorder_of_a_live_view_holds_signals_back(tmp_path: Path) -> None:
    """In each of its threads, from before its target runs; the target gets them as ever."""
    output = tmp_path / "out.giltrace"
    flag = tmp_path / "flag"
    code = f"""
import os, time
print(next(line for line in open("/proc/self/status") if line.startswith("SigBlk")), flush=True)
while not os.path.exists({str(flag)!r}):
    time.sleep(0.01)
"""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1}
    read_end, told = os.pipe()
    words = serve.command(output, Settings(), Policy(), told, target=("-c", code))
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[told], env=environment()
    ) as recorder:
        os.close(told)
        assert recorder.stdout is not None and recorder.stdin is not None
        try:
            target = recorder.stdout.readline().decode()
            for task in Path(f"/proc/{recorder.pid}/task").iterdir():
                assert held <= _blocked((task / "status").read_text())
            assert not held & _blocked(target)
            recorder.send_signal(signal.SIGUSR1)
            recorder.stdin.close()
            assert recorder.wait(60) == 0
        finally:
            flag.touch()
    os.close(read_end)


def _blocked(status: str) -> set[int]:
    mask = int(
        next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16
    )
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def _bytes(path: Path) -> int:
    return path.stat().st_size


def test_a_program_that_ends_meanwhile(tmp_path: Path) -> None:
    """Its end is the end of the recording, and it exits as ever."""
    output = tmp_path / "out.giltrace"
    with running(tmp_path, MAINS["sleeps"]) as target, attached(target.pid, output) as recorder:
        target._flag.touch()
        assert target.process.wait(60) == 0
        assert recorder.wait(60) == 0
    capture = read(output)
    assert capture.end is not None and capture.end.reason == "the target ended"


def names(output: Path) -> set[str]:
    """The threads that a capture knows by now."""
    capture = read(output)
    return {one.name for one in capture.threads} | {one.name for one in capture.thread_names}


def test_a_forked_child_is_recorded_and_left_too(tmp_path: Path) -> None:
    """Children that a process forks while it is attached to are left when it is."""
    output = tmp_path / "out.giltrace"
    forking = """
    import warnings
    warnings.simplefilter("ignore")
    def recorded():
        # The last thing that attaching does is to see to forks and to the exit.
        found = vars(sys.modules.get("giltrace.runtime.bootstrap", sys))
        return found.get("_session") and found.get("_at_exit")
    while not recorded():
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        threading.Thread(target=wait_for_flag, name="forked").start()
        wait_for_flag()
        os._exit("giltrace._core" in sys.modules or ".arena" in open("/proc/self/maps").read())
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    """
    with running(tmp_path, forking) as target:
        with attached(target.pid, output) as recorder:
            while "forked" not in names(output) and recorder.poll() is None:
                pass
        assert recorder.returncode == 0
        assert target.end() == UNTOUCHED
    capture = read(output)
    assert [end.status for end in capture.process_ends] == ["left running", "left running"]


def test_after_a_recorder_that_was_killed(tmp_path: Path) -> None:
    """The next one tidies up behind it."""
    with running(tmp_path, MAINS["selects"]) as target:
        with attached(target.pid, tmp_path / "first.giltrace") as recorder:
            recorder.kill()
            recorder.wait(60)
        done = attach(target.pid, "-q", "-o", str(tmp_path / "out.giltrace"), "--duration", "0.1")
        assert (done.returncode, done.stderr) == (0, "")
        assert target.end() == UNTOUCHED


def refused(pid: int, tmp_path: Path) -> str:
    """What is said when attaching to a process is refused."""
    output = tmp_path / "refused.giltrace"
    done = attach(pid, "-o", str(output))
    assert (done.returncode, done.stdout) == (1, "")
    assert not output.exists()
    assert "Traceback" not in done.stderr
    return done.stderr


def test_again_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look at a process is a second capture; nothing is replaced and nothing refused."""
    monkeypatch.chdir(tmp_path)
    with running(tmp_path, MAINS["sleeps"]) as target:
        for _ in range(2):
            done = attach(target.pid, "-q", "--duration", "0.01")
            assert (done.returncode, done.stderr) == (0, "")
        names = {path.name for path in tmp_path.glob("*.giltrace")}
        assert names == {f"target-{target.pid}.giltrace", f"target-{target.pid}-2.giltrace"}
        assert target.end() == UNTOUCHED


def test_no_such_process(tmp_path: Path) -> None:
    """A process that has ended is said not to be there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert f"there is no process {process.pid}" in refused(process.pid, tmp_path)


def test_a_process_nobody_has_taken_note_of(tmp_path: Path) -> None:
    """A zombie has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert "has ended" in refused(process.pid, tmp_path)
    finally:
        process.wait()


def test_a_process_that_is_no_python(tmp_path: Path) -> None:
    """It is looked at from the outside only, and called what it is."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert "is not a Python" in refused(process.pid, tmp_path)
        finally:
            process.kill()


def test_a_stopped_process(tmp_path: Path) -> None:
    """It could never answer, and is not made to go on."""
    with running(tmp_path, MAINS["sleeps"]) as target:
        target.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, target.pid, os.WSTOPPED | os.WNOWAIT)
        assert f"kill -CONT {target.pid}" in refused(target.pid, tmp_path)
        target.process.send_signal(signal.SIGCONT)
        assert target.end() == UNTOUCHED


def test_a_thread_is_not_a_process(tmp_path: Path) -> None:
    """The number of a thread leads to its process."""
    with running(tmp_path, MAINS["sleeps"]) as target:
        (tid,) = (t for t in map(int, os.listdir(f"/proc/{target.pid}/task")) if t != target.pid)
        assert f"{tid} is a thread of process {target.pid}" in refused(tid, tmp_path)


def test_one_recording_at_a_time(tmp_path: Path) -> None:
    """A process that is being recorded is left to who does that."""
    with running(tmp_path, MAINS["sleeps"]) as target:
        with attached(target.pid, tmp_path / "first.giltrace") as recorder:
            words = refused(target.pid, tmp_path)
            assert f"is being recorded already, by process {recorder.pid}" in words
        assert target.end() == UNTOUCHED


def test_where_giltrace_is_not_installed(tmp_path: Path) -> None:
    """The message says for which Python to install it, and the process is untouched."""
    hidden = "import _frozen_importlib_external as e; suffixes = e.EXTENSION_SUFFIXES[:]\n"
    hidden += "e.EXTENSION_SUFFIXES.clear()\ndone.wait()\ne.EXTENSION_SUFFIXES[:] = suffixes"
    base = getattr(sys, "_base_executable", sys.executable)
    with running(tmp_path, hidden, "-I", python=base) as target:
        words = refused(target.pid, tmp_path)
        assert "is not installed for the Python" in words
        assert "-m pip install giltrace" in words
        assert target.end() == UNTOUCHED


def test_another_giltrace(tmp_path: Path) -> None:
    """One of another version may write what this one cannot read."""
    other = "import types; sys.modules['giltrace'] = types.ModuleType('giltrace')\n"
    other += (
        "sys.modules['giltrace'].__version__ = '0.0.1'\ndone.wait()\ndel sys.modules['giltrace']"
    )
    with running(tmp_path, other) as target:
        assert "giltrace 0.0.1 is there, not" in refused(target.pid, tmp_path)
        assert target.end() == UNTOUCHED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_process(tmp_path: Path) -> None:
    """Without rights the kernel is not even asked, and sudo is named."""
    with running(tmp_path, MAINS["sleeps"]) as target:
        code = (
            f"import os; os.setuid(65534)\n"
            f"from giltrace.record.running import examine\n"
            f"try: examine({target.pid})\n"
            f"except Exception as error: print(error, '|', error.hint)"
        )
        done = subprocess.run(
            [sys.executable, "-c", "import giltrace.record.running\n" + code],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "belongs to another user (root)" in done.stdout
        assert f"sudo giltrace attach {target.pid}" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can attach to somebody else's process")
def test_root_records_another_users_process(tmp_path: Path) -> None:
    """As with sudo: the process stays that user's, joins, and is left with nothing in it."""
    code = "import sys; print('ready', flush=True); sys.stdin.readline()"
    code += "; print('giltrace' in sys.modules)"
    try:
        process = subprocess.Popen(
            [getattr(sys, "_base_executable", sys.executable), "-I", "-X", "gil=1", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            user=65534,
            group=65534,
            cwd="/",
        )
    except PermissionError:
        pytest.skip("this Python cannot be run by another user")
    output = tmp_path / "out.giltrace"
    with process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != "ready\n":
            pytest.skip("this Python cannot be run by another user")
        done = attach(process.pid, "-q", "-o", str(output), "--duration", "0.1")
        assert ".arena" not in Path(f"/proc/{process.pid}/maps").read_text()
        rest, _ = process.communicate("\n", timeout=60)
    assert (process.returncode, rest) == (0, "False\n")
    if done.returncode:  # its user cannot read this giltrace
        assert "is not installed for the Python" in done.stderr
    else:
        assert [info.pid for info in read(output).processes] == [process.pid]
