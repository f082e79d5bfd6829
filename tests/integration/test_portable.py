"""The portable back end with real programs, on CPython and, where there is one, on PyPy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from giltrace.capture import read
from giltrace.model import Cause, Trace, check, load
from giltrace.record.settings import Settings
from tests.support import recorder
from tests.support.portable import PING_PONG, PYPY, Recorded, held_ns, interpreters, record
from tests.support.python import TREE, environment, run_python

# Its programs import giltrace from the checkout.
pytestmark = pytest.mark.repo

# What spins differs; the sleeper wants the GIL back twenty times.
SPINNER = """
import threading, time
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def with_calls():
    while not over:
        fib(8)
def without_calls():
    n = 0
    while not over:
        n += 1
def in_c():
    while not over:
        sum(range(50_000))
def sleeper():
    for _ in range(20):
        time.sleep(0.005)
over = False
def spinner():
    WORK()
    print(time.thread_time_ns())
threads = [
    threading.Thread(target=spinner, name="WORK"),
    threading.Thread(target=sleeper, name="sleeper"),
]
for thread in threads:
    thread.start()
threads[1].join()
over = True
threads[0].join()
"""


def program(folder: Path, code: str) -> str:
    """Write a program; gives its path."""
    return recorder.script(folder, code)


def only_what_can_be_seen(trace: Trace) -> None:
    """Nothing is claimed that a profile function cannot know, and nothing had to be mended."""
    assert check(trace) == []
    assert (len(trace.waits), len(trace.drop_requests), trace.lost_events) == (0, 0, 0)
    for process in trace.processes:
        assert process.backend == "portable"
        assert "inferred" in process.notes[0]
    assert len(trace.notes) == sum(len(process.notes) for process in trace.processes)


def releases(trace: Trace, name: str) -> set[tuple[str, str, int, str]]:
    """Where the thread of that name let go: file, function, line (0: unknown) and call."""
    (thread,) = [thread.index for thread in trace.threads if thread.name == name]
    rows = np.flatnonzero(trace.holds.thread == thread).tolist()
    places = [trace.places[trace.holds.place[row]] for row in rows]
    calls = [trace.calls[trace.holds.call[row]].name for row in rows]
    return {
        (place.basename, place.qualname, place.line, call)
        for place, call in zip(places, calls, strict=True)
        if place.filename
    }


def line_if_made_to(line: int, python: str) -> int:
    """The line of a release that a thread was made to: PyPy's threads leave no word of it."""
    return 0 if python == PYPY else line


def ended_well(done: Recorded) -> None:
    """It exited, said nothing, and has left nothing behind."""
    assert (done.code, done.err, done.refusals, done.left) == (0, "", [], [])


@interpreters
def test_two_threads_in_turn(tmp_path: Path, python: str) -> None:
    """Each turn of two threads is a hand-off or two, at the line and in the call that waits."""
    done = record(tmp_path, python, program(tmp_path, PING_PONG))
    ended_well(done)
    trace = done.trace
    only_what_can_be_seen(trace)
    assert [thread.name for thread in trace.threads] == ["MainThread", "echo"]
    assert trace.threads[0].tid == trace.processes[0].pid
    # `send` lets go as well, and the other thread may come in between.
    assert 595 <= len(trace.handoffs) <= 1300
    (text,) = [source.text for source in done.capture.sources if "program.py" in source.filename]
    assert "b.send(b.recv(1))" in text
    file = "program.py"
    assert (file, "echo", 7, "_socket.socket.recv") in releases(trace, "echo")
    assert (file, "<module>", 12, "_socket.socket.recv") in releases(trace, "MainThread")
    assert {place for place in releases(trace, "echo") if place[0] == file} <= {
        *((file, "echo", 7, f"_socket.socket.{call}") for call in ("recv", "send")),
        (file, "echo", line_if_made_to(7, python), ""),
        (file, "echo", 7, ""),  # made to, just after a call
    }


@interpreters
@pytest.mark.parametrize("work", ["with_calls", "without_calls", "in_c"])
def test_a_spinner_and_a_sleeper(tmp_path: Path, python: str, work: str) -> None:
    """Who computes holds the GIL, also without calling anything; who sleeps does not."""
    done = record(tmp_path, python, program(tmp_path, SPINNER.replace("WORK", work)))
    ended_well(done)
    trace = done.trace
    only_what_can_be_seen(trace)
    # On a machine that is busy with other things it is not running all of the time.
    assert held_ns(trace, work) > 0.7 * int(done.out)
    assert held_ns(trace, "sleeper") < held_ns(trace, work)
    lines = SPINNER.splitlines()
    sleep = lines.index("        time.sleep(0.005)") + 1
    assert ("program.py", "sleeper", sleep, "time.sleep") in releases(trace, "sleeper")
    own = range(3, 5) if work == "with_calls" else range(0)
    first = lines.index(f"def {work}():") + 1
    at = {(name, line) for file, name, line, _ in releases(trace, work) if file == "program.py"}
    at -= {(name, line) for name, line in at if name == "spinner"}
    assert at
    assert at <= {
        *(("fib", line_if_made_to(line, python)) for line in own),
        *((work, line_if_made_to(line, python)) for line in range(first, first + 4)),
    }


@interpreters
def test_alone(tmp_path: Path, python: str) -> None:
    """A single thread that computes has one hold; in a sleep it has let go."""
    code = """
    import time
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    fib(15)
    for _ in range(3):
        time.sleep(0.02)
    fib(15)
    """
    done = record(tmp_path, python, program(tmp_path, code))
    ended_well(done)
    trace = done.trace
    only_what_can_be_seen(trace)
    calls = [trace.calls[call].name for call in trace.holds.call.tolist()]
    assert [call for call in calls if call == "time.sleep"] == ["time.sleep"] * 3
    off_ns = trace.holds.start[1:] - trace.holds.end[:-1]
    assert np.count_nonzero(off_ns > 19_000_000) >= 3
    assert len(trace.handoffs) == 0


@interpreters
def test_a_killed_program_leaves_what_it_did(tmp_path: Path, python: str) -> None:
    """Up to SIGKILL everything is there; the last hold is open, or was let go of in the kill."""
    code = PING_PONG + "import os\nos.kill(os.getpid(), 9)\n"
    done = record(tmp_path, python, program(tmp_path, code))
    assert (done.code, done.left) == (-9, [])
    trace = done.trace
    assert check(trace) == []
    assert len(trace.handoffs) >= 595
    assert trace.processes[0].status == "ended"


@interpreters
def test_forked_children(tmp_path: Path, python: str) -> None:
    """A child has a recording of its own, from the fork on; the parent's goes on."""
    code = (
        """
import os, time
if os.fork() == 0:
    time.sleep(0.01)
    os._exit(0)
os.wait()
"""
        + PING_PONG
    )
    done = record(tmp_path, python, program(tmp_path, code))
    ended_well(done)
    trace = done.trace
    assert check(trace) == []
    parent, child = trace.processes
    assert (child.ppid, child.backend) == (parent.pid, "portable")
    assert [thread.name for thread in trace.threads_of(1)] == ["MainThread"]
    calls = trace.holds.call[trace.holds_of(1)].tolist()
    assert "time.sleep" in [trace.calls[call].name for call in calls]
    assert len(trace.handoffs) >= 595


@interpreters
def test_names(tmp_path: Path, python: str) -> None:
    """New names, names that are no Unicode or as long as a novel, and odd arguments arrive."""
    odd = 'a"b\\c\n\u00fc\U0001f600\udcff'
    code = r"""
    import threading, time
    def work():
        time.sleep(0.01)
        threading.current_thread().name = "second"
        for _ in range(20):
            time.sleep(0.01)
    for name in ("first", "\ud800\x1b[31m", "x" * 10_000):
        threading.Thread(target=work, name=name).start()
    """
    done = record(tmp_path, python, program(tmp_path, code), odd)
    ended_well(done)
    assert done.capture.processes[0].argv[-1] == odd
    told = {info.name for info in done.capture.threads}
    assert told == {"MainThread", "first", "\ud800\x1b[31m", "x" * 255}
    assert [info.name for info in done.capture.thread_names] == ["second"] * 3


@interpreters
def test_what_is_not_seen_is_said(tmp_path: Path, python: str) -> None:
    """A note names who took a profile function away, and that there were strange threads."""
    code = """
    import _thread, sys, threading, time
    def other(frame, event, arg): pass
    def stranger(): time.sleep(9)
    _thread.start_new_thread(stranger, ())
    threading.setprofile(other)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        len("")
    sys.setprofile(other)
    """
    done = record(tmp_path, python, program(tmp_path, code))
    assert done.code == 0
    notes = "\n".join(done.capture.process_ends[0].notes)
    assert "some threads were not started by the threading module" in notes
    assert "__main__.other has taken the profile function for new threads" in notes
    # PyPy empties the slot before anyone can look.
    who = "something has taken away" if python == PYPY else "__main__.other has taken"
    assert f"{who} the profile function (sys.setprofile) of Main" in notes


@interpreters
def test_stacks(tmp_path: Path, python: str) -> None:
    """Callers are recorded as far as asked for."""
    code = """
    import time
    def inner(): time.sleep(0.01)
    def middle(): inner()
    def outer(): middle()
    outer()
    """
    settings = Settings(stacks=3, backend="portable")
    done = record(tmp_path, python, program(tmp_path, code), settings=settings)
    ended_well(done)
    trace = done.trace
    (row,) = [
        row
        for row, call in enumerate(trace.holds.call.tolist())
        if trace.calls[call].name == "time.sleep"
    ]
    stack = trace.stacks[int(trace.holds.stack[row])]
    assert [trace.places[place].line for place in stack] == [4, 5]


@interpreters
def test_nobody_reads(tmp_path: Path, python: str) -> None:
    """When the ring is full the program goes on and counts; when the recorder is gone it stops."""
    code = f"""
    import subprocess, sys, threading, time
    recorder = subprocess.Popen(["sleep", "60"])
    folder = {str(tmp_path)!r}
    with open(folder + "/options", "w") as options:
        options.write("recorder %d\\nchunks 16\\n" % recorder.pid)
    from giltrace.runtime import portable
    portable.join(folder)
    for _ in range(3000):
        time.sleep(0.0001)
    assert sys.getprofile() is not None
    recorder.kill()
    recorder.wait()
    deadline = time.monotonic() + 20
    while sys.getprofile() is not None and time.monotonic() < deadline:
        pass
    print(sys.getprofile(), threading._profile_hook)
    """
    done = subprocess.run(
        [python, program(tmp_path, code)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None None\n", "")
    (path,) = tmp_path.glob("*.portable")
    assert path.stat().st_size == 4096 + (1 << 16)


def test_the_slot_is_taken(tmp_path: Path) -> None:
    """Where somebody else profiles, nothing is touched and one line says who does."""
    code = """
    import sys, threading
    from giltrace.runtime import portable
    def mine(*args): pass
    for take in (sys.setprofile, threading.setprofile):
        take(mine)
        try:
            portable.join(sys.argv[1])
        except portable.Refused as error:
            print(error)
        take(None)
    """
    done = run_python(code, tmp_path)
    assert done.stdout.splitlines() == [
        f"the profile function ({slot}.setprofile) is taken by __main__.mine"
        for slot in ("sys", "threading")
    ]


def test_after_the_tap_has_refused(tmp_path: Path) -> None:
    """With the back end left open, a GIL that cannot be tapped is recorded all the same."""
    package = tmp_path / "stub" / "giltrace"
    (package / "runtime").mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__.append({str(TREE / 'giltrace')!r})\n")
    (package / "runtime" / "__init__.py").write_text(
        f"__path__.append({str(TREE / 'giltrace' / 'runtime')!r})\n"
    )
    (package / "runtime" / "bootstrap.py").write_text(
        "class TapError(Exception): pass\n"
        "def join(session): raise TapError('the image has no GOT')\n"
    )
    env = {"PYTHONPATH": str(tmp_path / "stub")}
    script = program(tmp_path, PING_PONG)
    done = record(tmp_path, sys.executable, script, settings=Settings(backend="auto"), env=env)
    ended_well(done)
    assert done.trace.processes[0].notes[1] == ("the GIL could not be tapped: the image has no GOT")
    assert len(done.trace.handoffs) >= 595
    (tmp_path / "tap").mkdir()
    done = record(
        tmp_path / "tap", sys.executable, script, settings=Settings(backend="tap"), env=env
    )
    assert [refusal.reason for refusal in done.refusals] == ["the image has no GOT"]
    assert done.capture.processes == []


@pytest.mark.skipif(PYPY is None, reason="there is no pypy3")
def test_the_command_line_records_pypy(tmp_path: Path) -> None:
    """`giltrace record pypy3 …` needs no option, and says that hand-offs are inferred."""
    output = tmp_path / "out.giltrace"
    script = program(tmp_path, PING_PONG)
    done = recorder.record(output, "pypy3", script, options=())
    assert done.returncode == 0, done.stderr
    assert "inferred" in done.stderr
    assert read(output).processes[0].implementation == "pypy"


@pytest.mark.slow
@pytest.mark.skipif(PYPY is None, reason="there is no pypy3")
@pytest.mark.parametrize(
    "scenario", ["blocking", "nonblocking", "threadpool", "asyncio", "multiprocessing"]
)
def test_a_scenario_on_pypy(tmp_path: Path, scenario: str) -> None:
    """A server of the scenarios beside a CPU thread: threads, lines and calls."""
    assert PYPY is not None
    leg = ("-m", "giltrace.scenarios.leg", scenario, "--load", "1", "--requests", "20")
    done = record(tmp_path, PYPY, *leg, env={"PYTHONPATH": str(TREE)})
    ended_well(done)
    trace = done.trace
    only_what_can_be_seen(trace)
    assert "spin" in {place.qualname for place in trace.places}


def test_causes_are_not_claimed(tmp_path: Path) -> None:
    """Forced or voluntary: of an inferred hand-off nobody can tell."""
    done = record(tmp_path, sys.executable, program(tmp_path, PING_PONG))
    assert set(done.trace.holds.cause.tolist()) <= {Cause.NONE, Cause.UNKNOWN}


def test_it_agrees_with_the_tap(tmp_path: Path) -> None:
    """Both at once, in one process: they name the same holder nearly all of the time."""
    join = (
        "import os\nfrom giltrace.runtime import portable\n"
        "portable.join(os.environ['GILTRACE_SESSION'])\n"
    )
    output = tmp_path / "out.giltrace"
    script = program(tmp_path, join + SPINNER.replace("WORK", "with_calls"))
    done = recorder.record(output, script)
    assert done.returncode == 0, done.stderr
    trace = load(output)
    exact, inferred = sorted(trace.processes, key=lambda process: process.backend == "portable")
    assert (exact.backend, inferred.backend) == ("tap", "portable")
    assert exact.pid == inferred.pid
    (sleeper,) = [thread for thread in trace.threads_of(exact.index) if thread.name == "sleeper"]
    instants = np.linspace(sleeper.start_ns, sleeper.end_ns, 10_000).astype(np.int64)
    one, other = holders(trace, exact.index, instants), holders(trace, inferred.index, instants)
    same = sum(a == b for a, b in zip(one, other, strict=True))
    assert same / len(instants) > 0.85


def holders(trace: Trace, process: int, instants: np.ndarray) -> list[str]:
    """The names of who held the GIL of a process at these times; ``""`` for nobody."""
    (gil,) = [gil.index for gil in trace.gils if gil.process == process]
    here = trace.holds_of(gil)
    start, end = trace.holds.start[here], trace.holds.end[here]
    row = np.searchsorted(start, instants, side="right") - 1
    names = [trace.threads[thread].name for thread in trace.holds.thread[here].tolist()]
    return [
        names[at] if at >= 0 and ts < end[at] else ""
        for at, ts in zip(row.tolist(), instants.tolist(), strict=True)
    ]
