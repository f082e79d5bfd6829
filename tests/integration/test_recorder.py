"""`giltrace.Recorder` inside running programs; each test in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from giltrace.capture import read
from tests.support.python import run_python, wait_for
from tests.support.recorder import acquires

PRELUDE = """
import ctypes, os, sys, threading
import giltrace
out = sys.argv[1]
cycle = ctypes.CDLL(None).getppid
def cycles(n):
    for _ in range(n):
        cycle()
"""


def test_a_with_block_is_recorded_exactly(tmp_path: Path) -> None:
    """What runs inside the block is in the capture, and nothing of before or after."""
    run_python(
        PRELUDE
        + """
cycles(100)
with giltrace.Recorder(out):
    cycles(1000)
cycles(100)
from giltrace import _core
assert not _core.state()["installed"]
assert "GILTRACE_SESSION" not in os.environ
""",
        tmp_path / "out.giltrace",
    )
    capture = read(tmp_path / "out.giltrace")
    (number,) = [c.code for c in capture.codes if c.qualname == "cycles"]
    data = capture.events[0].data
    assert int(((data & 15 == 2) & (data >> 16 & 0xFFFF == number)).sum()) == 1000
    assert capture.end is not None and not capture.loss.truncated
    assert [thread.name for thread in capture.threads] == ["MainThread"]


def test_threads_of_before_are_named(tmp_path: Path) -> None:
    """Threads that were there already have their names, also if they never run in the block."""
    run_python(
        PRELUDE
        + """
gate = threading.Event()
threads = [threading.Thread(target=gate.wait, name=f"early-{i}") for i in range(3)]
for t in threads: t.start()
with giltrace.Recorder(out):
    cycles(10)
gate.set()
""",
        tmp_path / "out.giltrace",
    )
    names = {thread.name for thread in read(tmp_path / "out.giltrace").threads}
    assert names == {"MainThread", "early-0", "early-1", "early-2"}


def test_an_exception_in_the_block_passes_and_the_capture_is_whole(tmp_path: Path) -> None:
    """The program's own exception is the one that is seen."""
    done = run_python(
        PRELUDE + "with giltrace.Recorder(out):\n    raise KeyError('theirs')\n",
        tmp_path / "out.giltrace",
        check=False,
    )
    assert "KeyError: 'theirs'" in done.stderr
    assert read(tmp_path / "out.giltrace").end is not None


def test_many_times_over(tmp_path: Path) -> None:
    """Recording again and again leaves no mapping, descriptor, process or thread behind."""
    run_python(
        PRELUDE
        + """
def resources():
    maps = sum("arena" in line for line in open("/proc/self/maps"))
    return maps, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
before = resources()
for i in range(5):
    with giltrace.Recorder(out, force=True):
        cycles(10)
    assert resources() == before, (before, resources())
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    pass
else:
    raise AssertionError("a child is left")
""",
        tmp_path / "out.giltrace",
    )


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    """Two at once, an existing file, an unwritable place: GiltraceError, and nothing is left."""
    run_python(
        PRELUDE
        + """
from giltrace.errors import GiltraceError
from giltrace import _core
def refused(recorder, word):
    try:
        recorder.start()
    except GiltraceError as error:
        assert word in str(error), error
    else:
        raise AssertionError(word)
open(out + "x", "w").close()
refused(giltrace.Recorder(out + "x"), "exists")
refused(giltrace.Recorder("/proc/nowhere/out"), "cannot write")
with giltrace.Recorder(out):
    refused(giltrace.Recorder(out + "2"), "already")
    cycles(5)
assert not os.path.exists(out + "2")
state = _core.state()
assert not (state["installed"] or state["recording"] or state["interposed"]), state
assert state["gils"] == 1
giltrace.Recorder(out).stop()
""",
        tmp_path / "out.giltrace",
    )
    assert acquires(read(tmp_path / "out.giltrace")) > 5


def test_it_does_not_infer(tmp_path: Path) -> None:
    """Where the GIL cannot be tapped it says why and what can be had, and leaves nothing."""
    done = run_python(
        PRELUDE
        + """
from giltrace.errors import GiltraceError
from giltrace import _core
from giltrace.runtime import bootstrap
def join(session):
    raise _core.TapError("the image has no GOT")
bootstrap.join = join
try:
    with giltrace.Recorder(out):
        raise AssertionError("it records")
except GiltraceError as error:
    print(error)
    print(error.hint)
assert sys.getprofile() is None and threading._profile_hook is None
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print(os.listdir(os.path.dirname(out)))
""",
        tmp_path / "out.giltrace",
    )
    reason, hint, left = done.stdout.splitlines()
    assert (reason, left) == ("the image has no GOT", "[]")
    assert "giltrace record --backend portable" in hint


def test_forks_in_the_block_are_recorded(tmp_path: Path) -> None:
    """A forked child joins the recording with an arena of its own."""
    run_python(
        PRELUDE
        + """
with giltrace.Recorder(out):
    pid = os.fork()
    if pid == 0:
        cycles(500)
        os._exit(0)
    os.waitpid(pid, 0)
""",
        tmp_path / "out.giltrace",
    )
    capture = read(tmp_path / "out.giltrace")
    assert len(capture.processes) == 2
    assert acquires(capture, 1) >= 500


def test_a_process_that_dies_in_the_block_leaves_a_capture(tmp_path: Path) -> None:
    """The recorder process sees its end and finishes the file."""
    done = run_python(
        PRELUDE
        + """
recorder = giltrace.Recorder(out)
recorder.start()
cycles(300)
print(recorder._collector.pid, flush=True)
os.kill(os.getpid(), 9)
""",
        tmp_path / "out.giltrace",
        check=False,
    )
    assert done.returncode == -9
    wait_for(int(done.stdout))
    capture = read(tmp_path / "out.giltrace")
    assert acquires(capture) > 300


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share the GIL before 3.12")
def test_an_interpreter_with_its_own_gil_is_a_gil_of_its_own(tmp_path: Path) -> None:
    """Created, used from a thread and destroyed while recording: its events carry its GIL."""
    run_python(
        PRELUDE
        + """
try:
    import _interpreters as interpreters
    create, run = (lambda: interpreters.create("isolated")), interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    create, run = (lambda: interpreters.create(isolated=True)), interpreters.run_string
with giltrace.Recorder(out):
    for _ in range(3):
        other = create()
        def work():
            run(other, "import time\\nfor _ in range(50): time.sleep(0)")
        thread = threading.Thread(target=work)
        thread.start()
        cycles(20)
        thread.join()
        interpreters.destroy(other)
""",
        tmp_path / "out.giltrace",
    )
    capture = read(tmp_path / "out.giltrace")
    assert len(capture.gils) == 4
    assert [gil.interpreter == 0 for gil in sorted(capture.gils, key=lambda gil: gil.gil)] == [
        True,
        False,
        False,
        False,
    ]
    events = capture.events[0]
    gil = events.data >> 8 & 255
    for index in (1, 2, 3):
        mine = events.data[gil == index]
        kinds = mine & 15
        assert int((kinds == 1).sum()) >= 50
        tenures = sorted((mine[kinds == 1] >> 16).tolist())
        assert tenures == list(range(1, len(tenures) + 1))
